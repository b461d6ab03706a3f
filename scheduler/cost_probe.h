// Measures what steps cost before the first request comes, on sequences of its own.
#pragma once

#include "core/model.h"
#include "draft/drafter.h"
#include "scheduler/expert_usage.h"
#include "scheduler/speculation/cost_model.h"

namespace ft::scheduler {

// Times steps of growing row counts, with rows that share their experts and rows that do not, and drafts for
// growing numbers of requests, as deep as the drafter is trained for and as deep as it goes. Takes a second
// or two at most: what is left out is extrapolated until steps show better. The cache must have room for one
// short sequence; nothing stays in it.
void measure_costs(Model& model, draft::Drafter& drafter, ExpertUsage& experts, CostModel& costs);

}  // namespace ft::scheduler
