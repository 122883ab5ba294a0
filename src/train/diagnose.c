#include "src/train/diagnose.h"

#include <math.h>
#include <stdbool.h>

const char *tr_advice_text(enum tr_advice a)
{
    static const char *const TEXT[TR_ADVICE_COUNT] = {
        [TR_ADVICE_CHOSEN_FALLS] =
            "the chosen answers are getting less likely while the margin grows: the model learns "
            "what to avoid faster than what to say. DPO often does this; if the answers get worse, "
            "try loss_type [sigmoid, sft] with loss_weights [1.0, 0.1], loss_type apo_zero, or a "
            "higher beta",
        [TR_ADVICE_LEARNED] =
            "every pair has been ranked right for a while and the margin still grows: there is "
            "little left to learn, and the model only moves away from the reference. Try fewer "
            "num_train_epochs, a lower learning_rate, a higher beta, or loss_type ipo, which stops "
            "by itself",
        [TR_ADVICE_TRUNCATED] =
            "most pairs are longer than max_length and are cut, so that the ends of their answers "
            "are not learned. Try a higher max_length (memory: a smaller pass_tokens makes room), "
            "or leave long rows out",
        [TR_ADVICE_SCALE] =
            "the loss scale of fp16 has collapsed: gradients overflow again and again, and small "
            "ones are lost. Try bf16, which needs no scale, or a lower learning_rate",
        [TR_ADVICE_FLAT] =
            "the loss has not moved since the beginning. Try a higher learning_rate (1e-6 and 5e-7 "
            "are for whole models of 0.5 B parameters and more; LoRA wants about ten times that) "
            "or a shorter warm-up, and see with anydpo inspect whether chosen and rejected differ",
    };
    return TEXT[a];
}

static void add(struct tr_diagnosis *d, const struct tr_signs *s)
{
    const double share = d->n == 0 ? 1.0 : 0.3;

    d->fell += share * (s->chosen_fell - d->fell);
    d->logp += share * (s->logps_chosen - d->logp);
    d->margin += share * (s->margin - d->margin);
    d->margins[d->n % TR_SIGNS_KEPT] = d->margin;
    d->first_loss = d->n == 0 ? s->loss : d->first_loss;
    d->least = d->n == 0 ? s->loss : fmin(d->least, s->loss);
    d->most = d->n == 0 ? s->loss : fmax(d->most, s->loss);
    if (s->accuracy >= 0.999 && d->sure == 0)
        d->sure_margin = s->margin;
    d->sure = s->accuracy >= 0.999 ? d->sure + 1 : 0;
    d->n++;
}

// The margin's running mean is above what it was when the oldest kept entry came.
static bool margin_grows(const struct tr_diagnosis *d)
{
    return d->n > TR_SIGNS_KEPT && d->margin > 0.0 && d->margin > d->margins[d->n % TR_SIGNS_KEPT];
}

uint32_t tr_diagnose(struct tr_diagnosis *d, const struct tr_signs *s)
{
    bool now[TR_ADVICE_COUNT] = {
        [TR_ADVICE_TRUNCATED] = s->truncated > 0.5,
        [TR_ADVICE_SCALE] = s->loss_scale > 0.0 && s->loss_scale <= 64.0,
    };
    uint32_t found = 0;

    if (isfinite(s->loss) && s->learning_rate > 0.0) { // not while the learning rate is 0
        add(d, s);
        now[TR_ADVICE_CHOSEN_FALLS] = margin_grows(d) && d->fell > fmax(2.0, 0.05 * fabs(d->logp));
        now[TR_ADVICE_LEARNED] = d->sure >= 8 && s->margin > 1.2 * d->sure_margin;
        now[TR_ADVICE_FLAT] = d->n >= 10 && d->most - d->least < 0.005 * fabs(d->first_loss);
    }
    for (uint32_t i = 0; i < TR_ADVICE_COUNT; i++)
        found |= (uint32_t) now[i] << i;
    found &= ~d->said;
    d->said |= found;
    return found;
}
