/* SPDX-License-Identifier: Apache-2.0 */
/* EC2's instance metadata (IMDSv2): the instance type by EC2's own word, and what EC2 has announced for
 * this instance. Asked in a child with a deadline; nothing but 169.254.169.254 is ever talked to. A tree
 * answers from its folder dt-imds, by the same paths. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "facts/imds.h"
#include "facts/printable.h"

#define ADDRESS "169.254.169.254"
#define TOKEN   "latest/api/token"
#define DATA    "latest/meta-data/"

enum { ANSWER_MAX = 16384, EVENTS_MAX = 16 };

struct imds {
    const struct dt_root *root;
    char token[256];
    char answer[ANSWER_MAX];
};

static int connect_to(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
    inet_pton(AF_INET, ADDRESS, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd < 0 ? -errno : fd;
    int error = errno;
    close(fd);
    return -error;
}

static bool send_all(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

const char *dt_imds_body(const char *answer, int *status)
{
    const char *body = strstr(answer, "\r\n\r\n");
    char digits[4];
    if (sscanf(answer, "HTTP/1.%*1[01]%*1[ ]%3[0-9]", digits) != 1 || !body)
        return NULL;
    *status = atoi(digits);
    return body + 4;
}

/* The status, or -errno; the body is moved to the front of imds->answer. "Connection: close" ends it. */
static int request(struct imds *imds, const char *method, const char *path, const char *header)
{
    char text[768];
    size_t len = 0;
    int status = -EPROTO, fd = connect_to();
    if (fd < 0)
        return fd;
    snprintf(text, sizeof text,
             "%s /%s HTTP/1.1\r\nHost: " ADDRESS "\r\n%s\r\nContent-Length: 0\r\n"
             "Connection: close\r\n\r\n",
             method, path, header);
    if (send_all(fd, text)) {
        ssize_t n;
        while (len < sizeof imds->answer - 1 &&
               (n = recv(fd, imds->answer + len, sizeof imds->answer - 1 - len, 0)) > 0)
            len += (size_t)n;
    }
    imds->answer[len] = '\0';
    close(fd);
    const char *body = dt_imds_body(imds->answer, &status);
    if (!body)
        return -EPROTO;
    memmove(imds->answer, body, strlen(body) + 1);
    return status;
}

static int get(struct imds *imds, const char *path)
{
    char header[320];
    if (imds->root->fake) {
        ssize_t n = dt_root_read(imds->root, imds->answer, sizeof imds->answer, "dt-imds/%s", path);
        return n >= 0 ? 200 : n == -ENOENT ? 404 : (int)n;
    }
    snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %s", imds->token);
    return request(imds, "GET", path, header);
}

/* 0, or -errno; -EACCES: IMDS is there and gives no token (it may be switched off). */
static int open_session(struct imds *imds)
{
    if (imds->root->fake)
        return dt_root_exists(imds->root, "dt-imds") ? 0 : -EHOSTUNREACH;
    int status = request(imds, "PUT", TOKEN, "X-aws-ec2-metadata-token-ttl-seconds: 60");
    if (status < 0)
        return status;
    imds->answer[strcspn(imds->answer, "\r\n")] = '\0';
    if (status != 200 || strlen(imds->answer) >= sizeof imds->token ||
        strspn(imds->answer,
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/") !=
            strlen(imds->answer))
        return -EACCES;
    snprintf(imds->token, sizeof imds->token, "%.255s", imds->answer);
    return 0;
}

long long dt_imds_seconds_until(const char *text, long long now)
{
    struct tm when = {0};
    const char *end = strptime(text, "%d %b %Y %H:%M:%S GMT", &when);
    if (!end || *end) {
        when = (struct tm){0};
        end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &when);
    }
    return end && !*end ? (long long)timegm(&when) - now : 0;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

json_t *dt_imds_events(const char *text, long long now)
{
    json_t *all = json_loads(text, 0, NULL), *events = json_array();
    if (!json_is_array(all)) {
        json_decref(all);
        json_decref(events);
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(all) && i < EVENTS_MAX; i++) {
        const json_t *event = json_array_get(all, i);
        const char *state = text_of(event, "State");
        if (strcmp(state, "completed") == 0 || strcmp(state, "canceled") == 0)
            continue;
        const char *when = text_of(event, "NotBefore");
        json_array_append_new(events, json_pack("{s:o,s:o,s:I}", "code",
                                                dt_printable_json(text_of(event, "Code"), 64),
                                                "when", dt_printable_json(when, 64), "in_s",
                                                (json_int_t)dt_imds_seconds_until(when, now)));
    }
    json_decref(all);
    return events;
}

/* What was announced, or what is wrong with the answer. 404: nothing was. */
static void ask_events(struct imds *imds, json_t *said)
{
    int status = get(imds, DATA "events/maintenance/scheduled");
    json_t *events = status == 404   ? json_array()
                     : status == 200 ? dt_imds_events(imds->answer, (long long)time(NULL))
                                     : NULL;
    if (events)
        json_object_set_new(said, "imds.events", events);
    status = get(imds, DATA "spot/instance-action");
    if (status == 200) {
        json_t *action = json_loads(imds->answer, 0, NULL);
        json_object_set_new(
            said, "imds.interruption",
            json_sprintf("%.32s at %.40s", text_of(action, "action"), text_of(action, "time")));
        json_decref(action);
    }
    if (get(imds, DATA "events/recommendations/rebalance") == 200)
        json_object_set_new(said, "imds.rebalance", json_integer(1));
}

void dt_probe_imds(int out, void *argument)
{
    const struct dt_reader *reader = argument;
    struct imds imds = {.root = reader->root};
    json_t *said = json_object();
    int rc = open_session(&imds);
    json_object_set_new(said, "imds.reachable", json_integer(rc == 0));
    if (rc < 0)
        json_object_set_new(said, "why.imds.reachable",
                            json_string(rc == -EACCES ? "it gives no token" : strerror(-rc)));
    if (rc == 0 && get(&imds, DATA "instance-type") == 200) {
        imds.answer[strcspn(imds.answer, "\r\n")] = '\0';
        json_object_set_new(said, "imds.type", dt_printable_json(imds.answer, 64));
    }
    if (rc == 0)
        ask_events(&imds, said);
    char *text = json_dumps(said, JSON_COMPACT);
    dt_probe_say(out, text ? text : "{}");
    free(text);
    json_decref(said);
}

bool dt_imds_is_wanted(const struct dt_reader *reader)
{
    char vendor[64];
    if (!reader->request->conf->imds_asked)
        return false;
    if (reader->root->fake)
        return dt_root_exists(reader->root, "dt-imds");
    return dt_root_read(reader->root, vendor, sizeof vendor,
                        "sys/devices/virtual/dmi/id/sys_vendor") > 0 &&
           strcmp(vendor, "Amazon EC2") == 0;
}

void dt_read_imds(struct dt_reader *reader, const char *text, const char *failure)
{
    struct dt_facts said;
    struct dt_error err;
    json_t *doc = failure || !text ? NULL : json_loads(text, 0, NULL);
    if (!doc || dt_facts_from_json(&said, doc, &err) < 0) {
        dt_reader_int(reader, "imds.reachable", 0);
        dt_reader_why(reader, "imds.reachable", "%s", failure ? failure : "its answer is none");
    } else {
        if (json_object_update(reader->doc, said.doc) < 0)
            reader->failed = true;
        dt_facts_fini(&said);
    }
    json_decref(doc);
}
