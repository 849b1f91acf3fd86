/* SPDX-License-Identifier: Apache-2.0 */
/* The reader: one pass over a copy of the text, which names and values then point into. */
#include "topology/xml.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct dt_xml *xml;
    const char *name; /* of the file */
    char *at, *end;   /* *end is NUL */
    char *counted;    /* up to here lines have been counted */
    size_t line;
    size_t depth;
    struct dt_xml_node *open; /* innermost element that is open */
    struct dt_error *err;
};

static size_t line_at(struct reader *r)
{
    for (; r->counted < r->at; r->counted++)
        r->line += *r->counted == '\n';
    return r->line;
}

static int fail(struct reader *r, const char *what)
{
    return dt_error_set(r->err, "%s:%zu: %s; no topology can be read from it", r->name, line_at(r),
                        what);
}

static bool name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.' || c == ':';
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && isspace((unsigned char)*r->at))
        r->at++;
}

static bool starts(const struct reader *r, const char *word)
{
    size_t len = strlen(word);
    return (size_t)(r->end - r->at) >= len && memcmp(r->at, word, len) == 0;
}

static int skip_past(struct reader *r, const char *word, const char *what)
{
    char *found = memmem(r->at, (size_t)(r->end - r->at), word, strlen(word));
    if (!found)
        return fail(r, what);
    r->at = found + strlen(word);
    return 0;
}

/* Decode entities in place. An unknown one stays as it stands. The text only gets shorter. */
static void decode(char *text)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    char *out = strchr(text, '&');

    for (const char *in = out; in && *in;) {
        size_t step = 1, k = 0;
        char c = *in;
        for (; *in == '&' && k < sizeof(known) / sizeof(known[0]); k++) {
            size_t len = strlen(known[k].name);
            if (strncmp(in, known[k].name, len) == 0) {
                step = len;
                c = known[k].c;
                break;
            }
        }
        *out++ = c;
        in += step;
    }
    if (out)
        *out = '\0';
}

/* Step over a name; it is not yet ended by NUL. NULL: there is none. */
static char *take_name(struct reader *r)
{
    char *start = r->at;

    while (r->at < r->end && name_char(*r->at))
        r->at++;
    return r->at > start ? start : NULL;
}

static int take_attribute(struct reader *r, struct dt_xml_node *node)
{
    struct dt_xml_attribute *grown;
    char quote, *value, *name = take_name(r), *name_end = r->at;

    if (!name)
        return fail(r, "an attribute's name was expected");
    skip_blanks(r);
    if (r->at >= r->end || *r->at != '=')
        return fail(r, "'=' was expected after an attribute's name");
    r->at++;
    skip_blanks(r);
    quote = *r->at;
    if (quote != '"' && quote != '\'')
        return fail(r, "an attribute's value must stand in quotes");
    value = ++r->at;
    while (r->at < r->end && *r->at != quote && *r->at != '<')
        r->at++;
    if (r->at >= r->end || *r->at != quote)
        return fail(r, "an attribute's value does not end");
    line_at(r); /* before bytes are overwritten */
    *name_end = '\0';
    *r->at++ = '\0';
    decode(value);
    /* grown by doubling: full whenever the count is a power of two */
    if ((node->attribute_count & (node->attribute_count - 1)) == 0) {
        size_t room = node->attribute_count ? 2 * node->attribute_count : 1;
        grown = realloc(node->attributes, room * sizeof(*grown));
        if (!grown)
            return dt_error_set(r->err, "%s: no memory left to read it", r->name);
        node->attributes = grown;
    }
    node->attributes[node->attribute_count++] = (struct dt_xml_attribute){name, value};
    return 0;
}

static struct dt_xml_node *new_node(struct reader *r)
{
    struct dt_xml_node *node = NULL;

    if (r->xml->count >= DT_XML_NODES_MAX) {
        fail(r, "there are more than a million elements");
        return NULL;
    }
    node = calloc(1, sizeof(*node));
    if (!node) {
        dt_error_set(r->err, "%s: no memory left to read it", r->name);
        return NULL;
    }
    node->text = "";
    node->line = line_at(r);
    node->parent = r->open;
    node->made_before = r->xml->newest;
    r->xml->newest = node;
    r->xml->count++;
    return node;
}

static void link_node(struct reader *r, struct dt_xml_node *node)
{
    struct dt_xml_node *parent = r->open;

    if (!parent)
        r->xml->root = node;
    else if (parent->last)
        parent->last = parent->last->next = node;
    else
        parent->first = parent->last = node;
}

/* At the character after '<'. */
static int open_element(struct reader *r)
{
    struct dt_xml_node *node;
    char *name, *name_end;

    if (!r->open && r->xml->root)
        return fail(r, "a second outermost element begins");
    if (r->depth >= DT_XML_DEPTH_MAX)
        return fail(r, "elements are nested more than 128 deep");
    node = new_node(r);
    if (!node)
        return -1;
    name = take_name(r);
    name_end = r->at;
    if (!name)
        return fail(r, "an element's name was expected after '<'");
    node->name = name;
    link_node(r, node);
    for (;;) {
        skip_blanks(r);
        if (r->at >= r->end)
            return fail(r, "an element's tag does not end");
        if (*r->at == '>' || starts(r, "/>"))
            break;
        if (r->at == name_end)
            return fail(r, "an element's name holds a character that it can not");
        if (take_attribute(r, node))
            return -1;
    }
    bool closed = *r->at == '/';
    r->at += closed ? 2 : 1;
    line_at(r);
    *name_end = '\0';
    if (!closed) {
        r->open = node;
        r->depth++;
    }
    return 0;
}

/* At the character after "</". */
static int close_element(struct reader *r)
{
    char *name = take_name(r), *name_end = r->at;

    if (!name || !r->open || strlen(r->open->name) != (size_t)(name_end - name) ||
        memcmp(name, r->open->name, (size_t)(name_end - name)) != 0)
        return fail(r, "an end tag fits no element that is open");
    skip_blanks(r);
    if (r->at >= r->end || *r->at != '>')
        return fail(r, "'>' was expected after an end tag's name");
    r->at++;
    r->open = r->open->parent;
    r->depth--;
    return 0;
}

/* Character data up to the next '<', which is overwritten once the tag's kind has been seen. */
static int take_text(struct reader *r)
{
    char *start = r->at, *stop = memchr(r->at, '<', (size_t)(r->end - r->at));

    r->at = stop ? stop : r->end;
    while (start < r->at && isspace((unsigned char)*start))
        start++;
    if (start == r->at)
        return 0;
    if (!r->open)
        return fail(r, "text stands outside of all elements");
    if (!r->open->first && !*r->open->text)
        r->open->text = start;
    return 0;
}

static int take_markup(struct reader *r)
{
    char *bracket = r->at;

    if (starts(r, "<!--"))
        return skip_past(r, "-->", "a comment does not end");
    if (starts(r, "<?"))
        return skip_past(r, "?>", "a declaration does not end");
    if (starts(r, "<![CDATA["))
        return skip_past(r, "]]>", "a CDATA section does not end");
    if (starts(r, "<!")) {
        if (memchr(r->at, '[', strcspn(r->at, ">")))
            return fail(r, "a document type with definitions of its own is not read");
        return skip_past(r, ">", "a document type does not end");
    }
    line_at(r);
    *bracket = '\0'; /* ends the text before it */
    if (r->end - r->at > 1 && r->at[1] == '/') {
        r->at += 2;
        return close_element(r);
    }
    r->at++;
    return open_element(r);
}

static int read_all(struct reader *r)
{
    while (r->at < r->end)
        if (take_text(r) || (r->at < r->end && take_markup(r)))
            return -1;
    if (r->open)
        return dt_error_set(r->err,
                            "%s ends inside <%.40s> of line %zu: it is cut short; write it anew",
                            r->name, r->open->name, r->open->line);
    if (!r->xml->root)
        return dt_error_set(r->err, "%s holds no XML element, so it is no topology", r->name);
    return 0;
}

int dt_xml_parse(struct dt_xml *xml, const char *name, const char *text, size_t len,
                 struct dt_error *err)
{
    struct reader r = {.xml = xml, .name = name, .line = 1, .err = err};

    memset(xml, 0, sizeof(*xml));
    if (memchr(text, '\0', len))
        return dt_error_set(err, "%s holds a NUL byte, so it is no XML", name);
    xml->text = malloc(len + 1);
    if (!xml->text)
        return dt_error_set(err, "%s: no memory left to read it", name);
    memcpy(xml->text, text, len);
    xml->text[len] = '\0';
    r.at = r.counted = xml->text;
    r.end = xml->text + len;
    if (read_all(&r) == 0)
        return 0;
    dt_xml_fini(xml);
    return -1;
}

void dt_xml_fini(struct dt_xml *xml)
{
    while (xml->newest) {
        struct dt_xml_node *node = xml->newest;
        xml->newest = node->made_before;
        free(node->attributes);
        free(node);
    }
    free(xml->text);
    memset(xml, 0, sizeof(*xml));
}

const char *dt_xml_get(const struct dt_xml_node *node, const char *attribute)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, attribute) == 0)
            return node->attributes[i].value;
    return NULL;
}

bool dt_xml_is(const struct dt_xml_node *node, const char *name)
{
    return strcmp(node->name, name) == 0;
}

/* "<!-- ... -->", "<? ... ?>", "<! ... >" before the first element. */
static const char *past_prolog(const char *at, const char *end)
{
    while (at < end) {
        const char *stop = NULL;
        if (isspace((unsigned char)*at)) {
            at++;
            continue;
        }
        if (end - at >= 4 && memcmp(at, "<!--", 4) == 0)
            stop = memmem(at, (size_t)(end - at), "-->", 3);
        else if (end - at >= 2 && *at == '<' && (at[1] == '?' || at[1] == '!'))
            stop = memchr(at, '>', (size_t)(end - at));
        else
            return at;
        if (!stop)
            return end;
        at = stop + (*stop == '-' ? 3 : 1);
    }
    return end;
}

bool dt_xml_peek_root(const char *text, size_t len, const char *name)
{
    const char *end = text + len, *at = past_prolog(text, end);
    size_t size = strlen(name);

    return (size_t)(end - at) > size + 1 && *at == '<' && memcmp(at + 1, name, size) == 0 &&
           !name_char(at[size + 1]);
}
