// What speculation did for a request, as `metrics.speculative_decoding` of a reply.
//
// The first seven members have the names and meaning of vLLM's (vllm-project/vllm#48915), which load tools
// read; the rest are ours. Lists by position begin with the first drafted token and end where nothing more
// was counted.
#pragma once

#include <string>

#include "scheduler/request.h"

namespace ft::server {

// Adds counters and times; the longest queue time counts. For replies with several choices.
void merge_report(scheduler::RequestReport& into, const scheduler::RequestReport& report);

// 1 + accepted drafts per step, 0 without steps.
double mean_acceptance_length(const scheduler::RequestReport& report);

// A JSON object. `draft_rows`: draft rows that a step of this request could verify at most.
// `fallbacks` counts decode steps without a draft by reason (scheduler::Fallback), every reason listed.
std::string speculation_json(const scheduler::RequestReport& report, int draft_rows);

// The counters and times as "name=value" words for the log. positions: accepted/drafted of each.
std::string speculation_words(const scheduler::RequestReport& report);

}  // namespace ft::server
