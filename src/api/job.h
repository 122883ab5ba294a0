// src/api/job.h -- a job of anydpo.h from inside: its options.
#ifndef API_JOB_H
#define API_JOB_H

#include "anydpo.h"
#include "src/api/options.h"

struct options *api_job_options(struct anydpo_job *job); // borrowed from the job

#endif // API_JOB_H
