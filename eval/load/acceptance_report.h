// What a server says about the speculation of one request, in the shapes that exist.
#pragma once

#include <optional>
#include <string>

#include "eval/accept/figures.h"
#include "eval/results/result_file.h"

namespace ft::eval {

// The counts in a reply, or in one of its events; nothing where it has none. Shapes:
//   * ours and vLLM's (--per-request-spec-decode-metrics): "metrics": {"speculative_decoding":
//     {"acceptance_histogram", "num_spec_steps", "num_draft_tokens", ...}}; ours has "drafted_per_position"
//     and "accepted_per_position" besides
//   * SGLang's ("return_spec_tokens_details"): an object with "spec_verify_ct", "spec_num_proposed_drafts"
//     and "spec_correct_drafts_histogram", anywhere in the reply
// Where counts per depth are not said they follow from the histogram, which is right for chains.
std::optional<AcceptCounts> reported_acceptance(const Json& reply);

// What a chat completion says, to compare with another of the same prompt and seed: its messages as JSON without
// the ids of tool calls, which are new in every reply. "" where it has none.
std::string said_in(const Json& reply);

}  // namespace ft::eval
