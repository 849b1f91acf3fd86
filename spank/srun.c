/* SPDX-License-Identifier: Apache-2.0 */
/* srun: the settings are resolved and put into the step's environment, and dt-gather is started.
 *
 * Heterogeneous steps: Slurm 22.05 calls local_user_init for one component only and builds the
 * environment of the others before it. So there all is done in init_post_opt, which runs once per
 * component before the environments are made; each call replaces what the call before it started.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

#define GATHER_START_MS 2000
#define GATHER_END_MS   500     /* for a last word; as a rule it is long gone */
#define QUEUE_SECONDS   "86400" /* a het allocation may wait in the queue after dt-gather started */

extern char **environ;

/* The words of /proc/self/cmdline, each with its NUL. Caller frees. */
static char *command_line(size_t *len)
{
    struct text text = {0};
    char chunk[4096];
    ssize_t n;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, chunk, sizeof chunk)) > 0)
        text_add(&text, chunk, (size_t)n);
    if (fd >= 0)
        close(fd);
    *len = text.failed ? 0 : text.len;
    return text.data;
}

static bool command_line_asks(void)
{
    size_t len;
    char *words = command_line(&len);
    bool found = false;
    for (size_t at = 0; at < len && !found; at += strlen(words + at) + 1)
        found = options_word(words + at);
    free(words);
    return found;
}

static bool environment_asks(void)
{
    static const char inherited[] = "SLURM_SPANK__SLURM_SPANK_OPTION_dt_dt_";
    for (int i = 0; i < SETTINGS; i++) {
        const char *value = getenv(setting_variable((enum setting)i));
        if (value && *value)
            return true;
    }
    for (char **entry = environ; *entry; entry++) {
        if (strncmp(*entry, inherited, strlen(inherited)) == 0)
            return true;
    }
    return false;
}

void srun_init(struct plugin *plugin)
{
    manners_read_environ(&plugin->local.environ);
    unsetenv(VARIABLE_SETTINGS);
    unsetenv(VARIABLE_RENDEZVOUS);
    unsetenv(VARIABLE_COMPONENTS);
    unsetenv(VARIABLE_BOUND);
    unsetenv(VARIABLE_KILL);
    /* srun reads this variable after init: a refused rank then ends the step on all nodes. It must
     * be set now, when the options are not parsed yet. */
    if (getenv("SLURM_KILL_BAD_EXIT"))
        return;
    if (options_active(&plugin->options) || environment_asks() || command_line_asks()) {
        setenv("SLURM_KILL_BAD_EXIT", "1", 0);
        setenv(VARIABLE_KILL, "1", 1);
    }
}

/* dt can not do what the user asked for. An exit is what srun itself does when a required plugin
 * fails; its shepherd process completes the step or the allocation. */
static void refuse(int code, const char *sentence)
{
    slurm_error("dt: %s; nothing was started", sentence);
    exit(code);
}

struct words {
    char *word[32];
    size_t count;
};

static void add(struct words *words, const char *word)
{
    if (word && words->count + 1 < sizeof words->word / sizeof *words->word)
        words->word[words->count++] = (char *)word;
}

static void add_pair(struct words *words, const char *name, const char *value)
{
    if (!value)
        return;
    add(words, name);
    add(words, value);
}

/* What its table on the terminal needs, and nothing of the job. */
static void gather_environ(struct words *words)
{
    static const char *const wanted[] = {
        "TERM=", "COLUMNS=", "NO_COLOR=", "LANG=", "LC_ALL=", "TZ="};
    add(words, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    for (char **entry = environ; *entry; entry++) {
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            if (strncmp(*entry, wanted[i], strlen(wanted[i])) == 0)
                add(words, *entry);
        }
    }
}

/* "rendezvous TEXT" or "fail CODE TEXT". */
static void take_answer(char *line)
{
    char *rest = line, *verb = strsep(&rest, " ");
    if (strcmp(verb, "rendezvous") == 0 && rest && *rest) {
        setenv(VARIABLE_RENDEZVOUS, rest, 1);
        return;
    }
    if (strcmp(verb, "fail") == 0 && rest) {
        int code = atoi(strsep(&rest, " "));
        char *text = rest ? rest : "dt-gather failed and did not say why";
        if (!strchr(text, ' '))
            word_decode(text);
        text_printable(text);
        refuse(code > 0 && code < 256 ? code : DT_EXIT_HELPER, text);
    }
    refuse(DT_EXIT_HELPER, "dt-gather answered something that this plugin does not understand; "
                           "install both from the same release");
}

struct step {
    char job[32];
    char nodes[16];
    const char *nodelist; /* NULL where the step uses a part of it only */
};

static void start_gather(struct plugin *plugin, const struct step *step, int components)
{
    const struct options *options = &plugin->options;
    struct words argv = {0}, env = {0};
    struct sentence why;
    char count[16], *line = NULL;
    bool waits_in_queue = components > 0 && !getenv("SLURM_JOB_ID");

    snprintf(count, sizeof count, "%d", components);
    add(&argv, "dt-gather");
    if (components > 0)
        add_pair(&argv, "--components", count);
    if (step) {
        add_pair(&argv, "--nodes", step->nodes);
        add_pair(&argv, "--nodelist", step->nodelist);
        add_pair(&argv, "--job", step->job);
    }
    add_pair(&argv, "--settings", getenv(VARIABLE_SETTINGS));
    add_pair(&argv, "--timeout",
             waits_in_queue ? QUEUE_SECONDS : options_value(options, SETTING_TIMEOUT));
    add_pair(&argv, "--on-fail", options_value(options, SETTING_ON_FAIL));
    const char *validate = options_value(options, SETTING_VALIDATE);
    char level[16]; /* without ",fresh", which is for the nodes */
    snprintf(level, sizeof level, "%.*s", (int)strcspn(validate, ","), validate);
    add_pair(&argv, "--level", level);
    add_pair(&argv, "--report", options_value(options, SETTING_REPORT));
    add_pair(&argv, "--ports", options->gather_ports);
    add_pair(&argv, "--config", options->config);
    gather_environ(&env);

    struct helper_start start = {.directory = options->helpers,
                                 .name = "dt-gather",
                                 .argv = argv.word,
                                 .environ = env.word,
                                 .plan = -1,
                                 .owner = getuid()};
    struct helper *gather = &plugin->local.gather;
    if (helper_start(gather, &start, &why) < 0 ||
        helper_ask(gather, &line, now_ms() + GATHER_START_MS, &why) < 0)
        refuse(DT_EXIT_HELPER, why.text);
    take_answer(line);
    free(line);
}

/* Who binds besides dt. The program's own words come last on srun's command line. */
static void publish_bound(const struct plugin *plugin, char **program, int program_words)
{
    struct text text = {0};
    struct manners manners = {.program = program_words > 0 ? program[0] : NULL,
                              .environ = &plugin->local.environ,
                              .bind_asked = options_by_user(&plugin->options, SETTING_BIND)};
    size_t len, count = 0;
    char *line = command_line(&len);
    char **words = calloc(len + 1, sizeof *words);
    for (size_t at = 0; words && at < len; at += strlen(line + at) + 1)
        words[count++] = line + at;
    manners.words = words;
    manners.count = count > (size_t)program_words ? count - (size_t)program_words : 0;
    if (words)
        manners_format(&text, &manners);
    if (!words || text.failed)
        refuse(DT_EXIT_HELPER, "out of memory");
    setenv(VARIABLE_BOUND, text.data, 1);
    text_fini(&text);
    free(words);
    free(line);
}

static void publish_settings(struct plugin *plugin, char **program, int program_words)
{
    char *settings = options_format(&plugin->options);
    if (!settings)
        refuse(DT_EXIT_HELPER, "out of memory");
    setenv(VARIABLE_SETTINGS, settings, 1);
    free(settings);
    /* A dt-launch in the step reads the variable, and would not hear of the option else. */
    if (plugin->options.given[SOURCE_OPTION][SETTING_BIND])
        setenv(setting_variable(SETTING_BIND), options_value(&plugin->options, SETTING_BIND), 1);
    publish_bound(plugin, program, program_words);
}

void srun_post_options(struct plugin *plugin)
{
    struct local *local = &plugin->local;
    alloc_post_options(plugin);
    if (++local->components < 2 || !options_given(&plugin->options))
        return;
    char count[16];
    snprintf(count, sizeof count, "%d", local->components);
    setenv(VARIABLE_COMPONENTS, count, 1);
    publish_settings(plugin, NULL, 0);
    if (options_off(&plugin->options, SETTING_VALIDATE))
        return;
    helper_stop(&local->gather, 0, true); /* that of the component before, which knew of fewer */
    start_gather(plugin, NULL, local->components);
}

/* The nodes tell components apart by their job ids, so all components of a het job must take part.
 * Of a het step inside one allocation Slurm tells a plugin on the node nothing at all. */
static void refuse_odd_het(const struct local *local)
{
    const char *size = getenv("SLURM_HET_SIZE");
    if (!size)
        refuse(DT_EXIT_USAGE, "a heterogeneous step inside one allocation can not be validated; "
                              "allocate its parts as a heterogeneous job, or add "
                              "--dt-validate=off");
    if (atoi(size) != local->components)
        refuse(DT_EXIT_USAGE, "a step over some components of a heterogeneous job can not be "
                              "validated; use one component or all, or add --dt-validate=off");
}

void srun_local_user_init(struct plugin *plugin, spank_t spank)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct local *local = &plugin->local;
    uint32_t job = 0, step_id = 0, nodes = 0;
    struct step step = {.nodelist = getenv("SLURM_NODELIST")};
    char **program = NULL;
    int program_words = 0;

    /* One thread per component in some releases. */
    pthread_mutex_lock(&mutex);
    if (local->started || !options_given(&plugin->options))
        goto out;
    local->started = true;
    if (spank_get_item(spank, S_JOB_ARGV, &program_words, &program) != ESPANK_SUCCESS || !program)
        program_words = 0;
    publish_settings(plugin, program, program_words);
    if (options_off(&plugin->options, SETTING_VALIDATE))
        goto out;
    if (local->components > 1) {
        refuse_odd_het(local);
        goto out; /* dt-gather runs since init_post_opt */
    }
    spank_get_item(spank, S_JOB_ID, &job);
    spank_get_item(spank, S_JOB_STEPID, &step_id);
    spank_get_item(spank, S_JOB_NNODES, &nodes);
    snprintf(step.job, sizeof step.job, "%" PRIu32 ".%" PRIu32, job, step_id);
    snprintf(step.nodes, sizeof step.nodes, "%" PRIu32, nodes);
    if (step.nodelist && hostlist_count(step.nodelist) != nodes)
        step.nodelist = NULL;
    start_gather(plugin, &step, 0);
out:
    pthread_mutex_unlock(&mutex);
}

/* A dt-gather that has not decided by now never will: it names whom it has waited for. One that
 * crashed can not, and the nodes leave that to us as well: it would be one line a node. */
void srun_exit(struct plugin *plugin)
{
    struct helper *gather = &plugin->local.gather;
    struct text end = {0};
    struct sentence why;
    text_puts(&end, "end\n");
    if (helper_crashed(gather, &why))
        slurm_error("dt: %s; nodes that had not heard its verdict started nothing", why.text);
    else if (gather->pid > 0)
        helper_tell(gather, &end, now_ms(), &why);
    text_fini(&end);
    helper_stop(gather, GATHER_END_MS, false);
    manners_environ_fini(&plugin->local.environ);
}
