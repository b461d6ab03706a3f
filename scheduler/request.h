// A generation request as the engine sees it: token ids and parameters in, tokens and a report out. Text
// never enters here.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/constraint.h"
#include "draft/drafter_registry.h"
#include "draft/predicted_text.h"
#include "verify/sampling_params.h"

namespace ft::scheduler {

// How a request wants to be speculated on; absent values mean the engine's default.
struct SpeculationParams {
  bool enabled = true;
  std::optional<int32_t> max_nodes;  // rows verified per step at most, anchor included; 1 = plain decoding
  std::optional<draft::TreeShape> shape;
  std::optional<draft::DrafterChoice> drafter;  // one that the engine has loaded, see Engine::offers
};

struct GenerateRequest {
  std::string id;  // for logs
  std::vector<int32_t> prompt;
  int64_t max_tokens = 0;  // > 0; generated tokens, the stop token included
  verify::SamplingParams sampling;
  // As sampling.logprobs, of every token of the prompt but the first. No cached prefix is used then, and no fork.
  int32_t prompt_logprobs = -1;
  std::vector<int32_t> stop_tokens;  // besides the checkpoint's end token
  bool ignore_eos = false;           // the end token is a token like any other
  SpeculationParams speculation;
  bool step_details = false;  // its tokens say how they came (TokenEvent::detail)
  // Larger ones are admitted first and preempted last; equal ones in order of arrival.
  int32_t priority = 0;
  // Requests with the same group, not 0, have the same prompt, which is read once; `fork_count` is how many
  // there are.
  uint64_t fork_group = 0;
  int32_t fork_count = 1;
  // What may be said; null: anything. Used on the engine's thread only, from admission on.
  std::shared_ptr<Constraint> constraint;
  // What the client predicts of the reply, to be drafted where the reply follows it.
  std::optional<draft::PredictedText> prediction;
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kError };
inline constexpr std::array<std::string_view, 4> kFinishReasonNames = {"stop", "length", "cancelled",
                                                                       "error"};
constexpr std::string_view finish_reason_name(FinishReason reason) {
  return kFinishReasonNames[static_cast<size_t>(reason)];
}

// Deepest draft that the report breaks down; deeper nodes count into the last bin.
inline constexpr int kReportDepth = 16;

// Why a step of a request verified no drafted row.
enum class Fallback : uint8_t {
  kDisabled,  // the request or the server does not speculate
  kNotWorth,  // by the cost model, drafting or verifying a draft would not have paid
  kNoDraft,   // the drafter had nothing to say
  kNoRoom,    // the step had no rows left
};
inline constexpr std::array<std::string_view, 4> kFallbackNames = {"disabled", "not_worth", "no_draft",
                                                                   "no_room"};
inline constexpr size_t kFallbacks = kFallbackNames.size();
constexpr std::string_view fallback_name(Fallback fallback) {
  return kFallbackNames[static_cast<size_t>(fallback)];
}

// What speculation did for one request.
struct RequestReport {
  FinishReason finish_reason = FinishReason::kStop;
  std::string error;        // kError only
  int32_t stop_token = -1;  // the token that ended a kStop
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // prompt tokens that came from the prefix cache
  int64_t completion_tokens = 0;
  int64_t steps = 0;     // verify steps that emitted tokens
  int64_t drafted = 0;   // verified draft rows, anchors excluded
  int64_t accepted = 0;  // drafted tokens that were emitted
  int64_t forced = 0;    // of these, ones that the constraint had forced
  std::array<int64_t, kReportDepth + 1> accepted_histogram{};  // steps by number of accepted drafts
  std::array<int64_t, kReportDepth> drafted_at_depth{};        // steps that verified a node at depth d+1
  std::array<int64_t, kReportDepth> accepted_at_depth{};       // steps that accepted a token at depth d+1
  std::array<int64_t, kFallbacks> fallbacks{};                 // decode steps without a draft, by reason
  int64_t preemptions = 0;                                     // times it had to give up its memory
  std::string_view drafter = "none";
  double queue_ms = 0.0;
  double prefill_ms = 0.0;
  double draft_ms = 0.0;   // this request's steps, shared steps counted in full
  double verify_ms = 0.0;  // forward and sampling
  double commit_ms = 0.0;  // commit and observe
  double total_ms = 0.0;
};

}  // namespace ft::scheduler
