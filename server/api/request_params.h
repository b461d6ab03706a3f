// The parameters that chat and text completions share, as parsed from a request body.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/ordered_json.h"
#include "scheduler/request.h"
#include "server/api/field_reader.h"
#include "server/api/output_format.h"
#include "server/api/request_fields.h"
#include "server/http/api_error.h"
#include "verify/sampling_params.h"

namespace ft::server {

inline constexpr int kChoicesMax = 128;        // n
inline constexpr int kStopStringsMax = 64;     // entries of stop
inline constexpr size_t kStopBytesMax = 1024;  // of one stop string
inline constexpr int kTopLogprobsMax = 20;
inline constexpr size_t kLogitBiasMax = 1024;  // entries of logit_bias
inline constexpr size_t kStopTokensMax = 64;   // entries of stop_token_ids
// Of a client's priority, either way. Times in seconds, which some clients send, are within.
inline constexpr int32_t kPriorityMax = INT32_MAX;

// What the server, not the client, knows when a request is read.
struct RequestDefaults {
  bool thinking = true;               // mode of a chat that does not say
  std::vector<std::string> drafters;  // that the engine offers, besides auto and none
  int tree_nodes_max = 64;            // upper limit of speculation.max_nodes
  int64_t vocab_size = INT32_MAX;     // token ids are below
  size_t choices_max = SIZE_MAX;      // of all prompts of a request together: those that run and wait at most
  int32_t priority_max = 0;           // priorities beyond it, either way, count as it; 0 = all are equal
};

struct RequestParams {
  std::string model;  // "" when the client named none
  std::optional<int64_t> max_tokens;
  int choices = 1;  // n; choice i of a prompt samples with seed + i
  bool stream = false;
  bool include_usage = false;
  bool include_speculation = false;
  bool include_steps = false;       // how each token came, too
  std::optional<uint64_t> seed;     // absent: random
  verify::SamplingParams sampling;  // all but the seed and logprobs
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  OutputFormat format;
  std::optional<std::string> prediction;  // of the answer
  scheduler::SpeculationParams speculation;
  // As the engine means it: larger ones first. A client's `priority` has vLLM's meaning, lower ones first and
  // 0 by default, and is negated here.
  int32_t priority = 0;
};

// Reads the shared members of `body`; violations stay in `fields`.
//
// speculation: {enabled, drafter, max_nodes, tree}. A drafter is one of `defaults.drafters`, "none" (plain
// decoding) or "auto" (as if none were named).
RequestParams read_request_params(FieldReader& fields, const RequestDefaults& defaults);

// The parts of it that other APIs share. read_sampling: temperature, top_p, top_k, min_p, the penalties and
// logit_bias. read_stop_strings: a string or strings in `name`. read_engine_params, what this server adds to
// every API: seed, stop_token_ids, ignore_eos, speculation and priority.
// read_token_limit: a limit of tokens in `name`; 0 and -1 are clients' ways to ask for none, and the largest that they
// know is as good.
std::optional<int64_t> read_token_limit(FieldReader& fields, std::string_view name);
void read_sampling(FieldReader& fields, const RequestDefaults& defaults, verify::SamplingParams& sampling);
void read_stop_strings(FieldReader& fields, std::string_view name, RequestParams& params);
void read_engine_params(FieldReader& fields, const RequestDefaults& defaults, RequestParams& params);
// The table of an API: its own members, then those that read_sampling and read_engine_params read.
std::vector<RequestField> with_sampling_fields(std::span<const RequestField> own);

// Refuses ignore_eos beside a format: a text that goes on behind its end does not have it.
void check_ignore_eos(FieldReader& fields, const RequestParams& params);

// 400 on `field` for more choices than can be running and waiting: refused as full, such a request would be sent
// again and never fit.
ApiResult<void> check_choices(size_t choices, const RequestDefaults& defaults, std::string field);

}  // namespace ft::server
