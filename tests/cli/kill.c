// Runs that are killed at any moment, or asked to stop, and go on: the final weights have the bits
// of a run that was left alone. tools/kill_test says how many kills ($ANYDPO_KILLS), from which
// seed ($ANYDPO_SEED) and on which device ($ANYDPO_KILL_DEVICE).
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/file.h"
#include "src/base/rng.h"

#define OK(call) assert_int_equal((call), RT_OK)
#define OUT "kill/out"

static char g_model[512];
static struct rng g_rng;
static double g_seconds;      // of the run that was left alone
static struct str g_weights;  // what it wrote
static unsigned g_log_lines;  // of its metrics.jsonl
static unsigned g_in_writing; // kills while a checkpoint was being written or removed

// ---- A run ------------------------------------------------------------------------------------

static pid_t start(const char *out, bool resume)
{
    const char *program = os_env("ANYDPO_PROGRAM"), *device = os_env("ANYDPO_KILL_DEVICE");
    const char *const args[] = {program ? program : "./anydpo",
                                "train",
                                "--model_name_or_path",
                                g_model,
                                "--dataset_name",
                                "kill/rows.jsonl",
                                "--output_dir",
                                out,
                                "--device",
                                device ? device : "host",
                                "--max_steps=16",
                                "--per_device_train_batch_size=1",
                                "--learning_rate=1e-3",
                                "--save_steps=1",
                                "--save_total_limit=3",
                                "--logging_steps=3",
                                resume ? "--resume_from_checkpoint=true" : NULL,
                                NULL};
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    const int log = open("kill/log", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (log < 0 || dup2(log, 2) < 0 || dup2(log, 1) < 0)
        _exit(99);
    execv(args[0], (char *const *) (uintptr_t) args);
    _exit(99);
}

static void show_log(void)
{
    struct str s = {0};
    if (file_read("kill/log", &s) == RT_OK && s.data)
        fprintf(stderr, "%s\n", s.data);
    str_free(&s);
}

// The status that waitpid gives.
static int end_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void pause_for(double seconds)
{
    const struct timespec t = {.tv_sec = (time_t) seconds,
                               .tv_nsec = (long) (1e9 * (seconds - (double) (time_t) seconds))};
    nanosleep(&t, NULL);
}

// Is there an entry whose name holds `text`? With `not`, one that does not hold that too.
static bool has_entry(const char *dir, const char *text, const char * not )
{
    DIR *d = opendir(dir);
    bool has = false;
    for (struct dirent *e; d && !has && (e = readdir(d)) != NULL;)
        has = strstr(e->d_name, text) && !(not &&strstr(e->d_name, not ));
    if (d)
        closedir(d);
    return has;
}

static bool has_checkpoint(void)
{
    return has_entry(OUT, "checkpoint-", ".tmp-");
}

static unsigned lines_of(const char *path)
{
    struct str s = {0};
    unsigned n = 0;
    OK(file_read(path, &s));
    for (size_t i = 0; i < s.len; i++)
        n += s.data[i] == '\n';
    str_free(&s);
    return n;
}

// Let a run go on to its end and compare what it leaves.
static void finishes_alike(unsigned kills)
{
    struct str s = {0};
    if (end_of(start(OUT, has_checkpoint())) != 0) {
        show_log();
        fail_msg("after %u kills the run does not go on", kills);
    }
    OK(file_read(OUT "/model.safetensors", &s));
    if (s.len != g_weights.len || memcmp(s.data, g_weights.data, s.len) != 0)
        fail_msg("after %u kills the weights differ", kills);
    assert_int_equal(lines_of(OUT "/metrics.jsonl"), g_log_lines);
    assert_false(has_entry(OUT, ".tmp-", NULL));
    str_free(&s);
}

static int make_undisturbed(void **state)
{
    struct str rows = {0};
    (void) state;
    OK(dir_remove("kill"));
    OK(dir_make("kill"));
    for (int i = 0; i < 9; i++) // short ones: a step shall not take longer than a checkpoint
        OK(str_printf(&rows,
                      "{\"prompt\": \"q %d\", \"chosen\": \"yes %d\", \"rejected\": \"no, %d\"}\n",
                      7 * i, i, i * i));
    OK(file_write("kill/rows.jsonl", rows.data, rows.len));
    str_free(&rows);
    const double begin = os_seconds();
    if (end_of(start("kill/alone", false)) != 0) {
        show_log();
        return 1;
    }
    g_seconds = os_seconds() - begin;
    OK(file_read("kill/alone/model.safetensors", &g_weights));
    g_log_lines = lines_of("kill/alone/metrics.jsonl");
    return 0;
}

// ---- Kills ------------------------------------------------------------------------------------

static double random_below(double x)
{
    return x * (double) rng_uniform(&g_rng);
}

// Wait for the moment to kill at: half of them while a checkpoint is written, is put in place or is
// removed; the others whenever. False: the run has ended before.
static bool wait_for_moment(pid_t pid)
{
    const bool in_writing = rng_u32(&g_rng) % 2 == 0;
    const double until = os_seconds() + random_below(g_seconds);

    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
            return false;
        if (os_seconds() >= until && (!in_writing || has_entry(OUT, ".tmp-", NULL)))
            break;
        pause_for(in_writing ? 2e-5 : 1e-3);
    }
    if (in_writing)
        pause_for(random_below(random_below(2e-3)));
    g_in_writing += has_entry(OUT, ".tmp-", NULL);
    return true;
}

static void killed(void **state)
{
    const char *n = os_env("ANYDPO_KILLS"), *seed = os_env("ANYDPO_SEED");
    const unsigned all = n ? (unsigned) strtoul(n, NULL, 10) : 3;
    unsigned kills = 0, runs = 0;

    (void) state;
    rng_seed(&g_rng, seed ? strtoull(seed, NULL, 10) : 1);
    while (kills < all) {
        const unsigned most = 1 + rng_u32(&g_rng) % 8;
        OK(dir_remove(OUT));
        for (unsigned i = 0; i < most && kills < all; i++) {
            const pid_t pid = start(OUT, has_checkpoint());
            if (wait_for_moment(pid)) {
                kill(pid, SIGKILL);
                kills++;
            }
            const int status = end_of(pid);
            if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
                show_log();
                fail_msg("after %u kills the run does not go on", kills);
            }
        }
        finishes_alike(kills);
        runs++;
    }
    printf("%u kills in %u runs, %u of them while a checkpoint was written or removed; all ended "
           "in the same bits\n",
           kills, runs, g_in_writing);
}

// ---- Signals ----------------------------------------------------------------------------------

// Start anew and come back when there is a checkpoint, long before the end.
static pid_t start_and_wait(void)
{
    OK(dir_remove(OUT));
    const pid_t pid = start(OUT, false);
    for (int i = 0; i < 60000 && !has_checkpoint(); i++)
        pause_for(1e-3);
    return pid;
}

static void stopped(void **state)
{
    static const struct {
        int signal, status;
    } ROWS[] = {{SIGINT, 130}, {SIGTERM, 143}};
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        const pid_t pid = start_and_wait();
        kill(pid, ROWS[i].signal);
        const int status = end_of(pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), ROWS[i].status);
        assert_false(file_exists(OUT "/model.safetensors"));
        assert_false(has_entry(OUT, ".tmp-", NULL));
        finishes_alike(0);
    }
}

// The second signal ends the program where it is.
static void stopped_twice(void **state)
{
    (void) state;
    const pid_t pid = start_and_wait();
    kill(pid, SIGTERM);
    pause_for(1e-3);
    kill(pid, SIGTERM);
    const int status = end_of(pid);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM : WEXITSTATUS(status) == 143);
    finishes_alike(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed),
        cmocka_unit_test(stopped),
        cmocka_unit_test(stopped_twice),
    };
    const char *source = os_env("ANYDPO_SOURCE");
    snprintf(g_model, sizeof(g_model), "%s/tests/golden/models/llama", source ? source : ".");
    const int failed = cmocka_run_group_tests(tests, make_undisturbed, NULL);
    str_free(&g_weights);
    return failed;
}
