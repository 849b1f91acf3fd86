/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked as the job's user: the directories where the job writes, and the caller's question. One child
 * does all, in turn, which is enough where nothing hangs. When it is late, what it has not told gets a child
 * each, at the same time and up to the same deadline: so what hangs is named, and the rest is known. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "facts/printable.h"
#include "facts/reader.h"

/* Said before the caller's question is asked. */
#define QUESTION "question\n"
/* A child that takes longer than this part of the deadline is late. */
#define LATE_PART 5

struct place {
    const struct dt_reader *reader;
    const char *path;
    struct dt_probe probe;
    bool started;
    struct dt_error err;
    char *line; /* one JSON object, or NULL */
};

struct dt_user {
    const struct dt_reader *reader;
    const char **paths;
    struct place *places;
    size_t count;
    struct dt_probe probe; /* of all, in turn */
    bool started;
    struct dt_error err;
    char *text; /* what it said; of a recorded tree, tried in this process */
    /* the question, when the child of all was held up before it */
    struct dt_probe question;
    bool question_started;
};

/* ---- in children --------------------------------------------------------------------------- */

static void become_user(const struct dt_reader *reader)
{
    if (dt_become_user(reader->request) < 0)
        _exit(1);
}

static void ask(int out, const struct dt_reader *reader)
{
    const struct dt_facts_question *question = reader->request->question;
    dt_probe_say(out, QUESTION);
    question->ask(out, question->argument);
}

static void probe_all(int out, void *argument)
{
    const struct dt_user *user = argument;
    become_user(user->reader);
    for (size_t i = 0; i < user->count; i++)
        dt_files_try(out, user->reader, user->paths[i]);
    if (user->reader->request->question)
        ask(out, user->reader);
}

static void probe_place(int out, void *argument)
{
    const struct place *place = argument;
    become_user(place->reader);
    dt_files_try(out, place->reader, place->path);
}

static void probe_question(int out, void *argument)
{
    const struct dt_reader *reader = argument;
    become_user(reader);
    ask(out, reader);
}

/* ---- start --------------------------------------------------------------------------------- */

struct dt_user *dt_user_start(const struct dt_reader *reader)
{
    const struct dt_facts_request *request = reader->request;
    struct dt_user *user = calloc(1, sizeof *user);
    if (!user)
        return NULL;
    user->reader = reader;
    user->paths = dt_files_paths(request);
    while (user->paths && user->paths[user->count])
        user->count++;
    user->places = calloc(user->count + 1, sizeof *user->places);
    if (!user->paths || !user->places) {
        free(user->paths);
        free(user->places);
        free(user);
        return NULL;
    }
    for (size_t i = 0; i < user->count; i++)
        user->places[i] = (struct place){.reader = reader, .path = user->paths[i]};
    if (request->recorded && request->uid == geteuid()) /* hangs no sooner here than elsewhere */
        dt_probe_here(&user->text, probe_all, user, &user->err);
    else
        user->started = dt_probe_start(&user->probe, probe_all, user, reader->root->fd,
                                       request->conf->probe_timeout_ms, &user->err) == 0;
    return user;
}

/* ---- when it is late ----------------------------------------------------------------------- */

/* Lines that are whole, before the question: so many places have been told. */
static size_t count_told(const char *text)
{
    size_t told = 0;
    for (const char *at = text; *at == '{'; told++) {
        const char *end = strchr(at, '\n');
        if (!end)
            break;
        at = end + 1;
    }
    return told;
}

/* Up to the deadline of the child that is late, and called by the whole time. */
static bool start_own(const struct dt_user *user, struct dt_probe *probe, void (*run)(int, void *),
                      void *argument, struct dt_error *err)
{
    long long left_ms = (user->probe.deadline_us - dt_monotonic_us()) / 1000;
    if (dt_probe_start(probe, run, argument, user->reader->root->fd, left_ms > 1 ? left_ms : 1,
                       err) < 0)
        return false;
    probe->timeout_ms = user->probe.timeout_ms;
    return true;
}

/* What the child of all has not come to. */
static void start_rest(struct dt_user *user, const char *said)
{
    size_t told = count_told(said);
    for (size_t i = told; i < user->count; i++) {
        struct place *place = &user->places[i];
        place->started = start_own(user, &place->probe, probe_place, place, &place->err);
    }
    if (told < user->count && user->reader->request->question)
        user->question_started =
            start_own(user, &user->question, probe_question, (void *)user->reader, &user->err);
}

/* ---- what was said ------------------------------------------------------------------------- */

static json_t *finish_place(struct place *place)
{
    int rc = place->line ? 0 : -1;
    if (place->started)
        rc = dt_probe_finish(&place->probe, &place->line, &place->err);
    json_t *item = place->line && *place->line ? json_loads(place->line, 0, NULL) : NULL;
    free(place->line);
    if (item)
        return item;
    item =
        json_pack("{s:o,s:s}", "path", dt_printable_json(place->path, DT_FACT_TEXT_MAX), "reason",
                  rc < 0 && *place->err.text ? place->err.text : "could not be tried as the user");
    if (place->probe.timed_out) /* bad, and not merely unknown */
        json_object_set_new(item, "ok", json_false());
    return item;
}

/* Give each place its line of what the child of all said; returns what stands behind them. */
static const char *share_lines(struct dt_user *user)
{
    const char *at = user->text ? user->text : "";
    size_t told = count_told(at);
    for (size_t i = 0; i < told && i < user->count; i++) {
        size_t length = strcspn(at, "\n");
        if (!user->places[i].started)
            user->places[i].line = strndup(at, length);
        at += length + 1;
    }
    return at;
}

static void take_answer(struct dt_facts_question *question, const char *text, bool failed,
                        const struct dt_error *why)
{
    question->state = DT_QUESTION_UNASKED;
    if (strncmp(text, QUESTION, strlen(QUESTION)) != 0)
        return;
    question->state = failed ? DT_QUESTION_UNANSWERED : DT_QUESTION_ANSWERED;
    question->why = *why;
    question->answer = strdup(text + strlen(QUESTION));
    if (!question->answer)
        question->state = DT_QUESTION_UNASKED;
}

static void finish_question(struct dt_user *user, const char *rest, bool failed)
{
    struct dt_facts_question *question = user->reader->request->question;
    char *text = NULL;
    if (user->question_started) {
        failed = dt_probe_finish(&user->question, &text, &user->err) < 0;
        rest = text ? text : "";
    }
    if (question)
        take_answer(question, rest, failed, &user->err);
    free(text);
}

void dt_user_finish(struct dt_reader *reader, struct dt_user *user)
{
    json_t *list = json_array();
    bool failed = true;
    if (user && user->started) {
        if (!dt_probe_wait(&user->probe, (int)(user->probe.timeout_ms / LATE_PART)))
            start_rest(user, user->probe.out.data ? user->probe.out.data : "");
        failed = dt_probe_finish(&user->probe, &user->text, &user->err) < 0;
    } else if (user && user->text) {
        failed = false;
    }
    if (user) {
        const char *rest = share_lines(user);
        for (size_t i = 0; i < user->count; i++) {
            if (!user->places[i].started && !user->places[i].line)
                user->places[i].err = user->err;
            json_array_append_new(list, finish_place(&user->places[i]));
        }
        finish_question(user, rest, failed);
        free(user->text);
        free(user->places);
        free(user->paths);
    } else {
        reader->failed = true;
    }
    free(user);
    dt_reader_take(reader, "fs.writable", list);
}
