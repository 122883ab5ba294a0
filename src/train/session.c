#include "src/train/session.h"

#include <stdlib.h>
#include <time.h>

#include "src/base/file.h"

static enum rt_err open_data(const struct tr_config *c, struct tr_session *s)
{
    enum rt_err err = RT_OK;
    const char *path = c->dataset_name;
    char *file = NULL;

    RT_TRY(txt_tokenizer_open(c->model_name_or_path, &s->tok));
    RT_TRY(txt_chat_open(c->model_name_or_path, &s->chat));
    if (dir_exists(path)) {
        RT_TRY(path_join(path, "train.jsonl", &file));
        path = file;
    }
    RT_TRY(ds_read(&(struct ds_read_args){.path = path,
                                          .tok = s->tok,
                                          .chat = s->chat,
                                          .max_length = c->max_length,
                                          .truncation = c->truncation_mode,
                                          .strict = c->strict,
                                          .now = (int64_t) time(NULL)},
                   &s->set));
    log_info("%s: %u rows, %u pairs kept; %u dropped (prompt too long), %u truncated, %u with a "
             "prompt cut at a token "
             "boundary",
             path, s->set.n_read, s->set.n, s->set.n_dropped, s->set.n_truncated, s->set.n_cut);
done:
    free(file);
    return err;
}

static enum rt_err open_device(const struct tr_config *c, bool train, struct tr_session *s)
{
    enum rt_err err = RT_OK;
    struct rt_dev_desc desc = {.name = c->device, .kernels = op_kernels()};
    struct md_model_desc model = {.folder = c->model_name_or_path,
                                  .storage = c->storage,
                                  .load_dtype = c->load_dtype,
                                  .train = train};
    char *cache = NULL;

    RT_TRY(rt_clamp_parse(c->disable, c->clamp, &desc.clamp));
    RT_TRY(dir_cache(c->cache_dir, &cache));
    desc.cache_dir = cache;
    RT_TRY(rt_dev_open(&desc, &s->dev));
    log_info("device %s: %s, %s", rt_dev_id(s->dev), rt_dev_plan(s->dev)->caps.name,
             rt_dev_plan(s->dev)->caps.driver);
    tr_limits(c, &s->set, &model);
    RT_TRY(md_model_open(s->dev, &model, &s->model));
    RT_TRY(tr_reference_open(c, train, s->model, &s->ref));
done:
    free(cache);
    return err;
}

enum rt_err tr_session_open(const struct tr_config *c, bool train, struct tr_session *out)
{
    enum rt_err err = RT_OK;

    *out = (struct tr_session){0};
    RT_TRY(open_data(c, out));
    RT_TRY(open_device(c, train, out));
    RT_TRY(tr_objective_create(c, out->model, &out->ref, &out->set, &out->objective));
done:
    if (err != RT_OK)
        tr_session_close(out);
    return err;
}

void tr_session_close(struct tr_session *s)
{
    tr_objective_destroy(&s->objective);
    tr_reference_close(&s->ref);
    md_model_close(&s->model);
    rt_dev_close(&s->dev);
    ds_set_free(&s->set);
    txt_chat_close(&s->chat);
    txt_tokenizer_close(&s->tok);
}
