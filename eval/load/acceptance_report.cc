#include "eval/load/acceptance_report.h"

#include <algorithm>

namespace ft::eval {

namespace {

// The first object that has this member, depth first.
const Json* object_with(const Json& json, const char* member) {
  if (json.is_object() && json.contains(member)) return &json;
  if (!json.is_structured()) return nullptr;
  for (const Json& inner : json)
    if (const Json* found = object_with(inner, member)) return found;
  return nullptr;
}

template <size_t N>
void fill(const Json& list, std::array<int64_t, N>& counts) {
  if (!list.is_array()) return;
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].is_number_integer()) counts[std::min(i, N - 1)] += list[i].get<int64_t>();
}

int64_t count_at(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

// Steps that accepted at a depth are those whose histogram entry lies there or beyond.
void depths_of_histogram(AcceptCounts& counts) {
  int64_t beyond = 0;
  for (size_t depth = counts.accepted_at_depth.size(); depth > 0; --depth) {
    beyond += counts.histogram[depth];
    counts.accepted_at_depth[depth - 1] = beyond;
  }
}

}  // namespace

std::optional<AcceptCounts> reported_acceptance(const Json& reply) {
  AcceptCounts counts;
  counts.requests = 1;
  if (const Json* report = object_with(reply, "num_spec_steps")) {
    counts.steps = count_at(*report, "num_spec_steps");
    counts.drafted = count_at(*report, "num_draft_tokens");
    fill(report->value("acceptance_histogram", Json()), counts.histogram);
    fill(report->value("drafted_per_position", Json()), counts.drafted_at_depth);
  } else if (const Json* details = object_with(reply, "spec_verify_ct")) {
    counts.steps = count_at(*details, "spec_verify_ct");
    counts.drafted = count_at(*details, "spec_num_proposed_drafts");
    fill(details->value("spec_correct_drafts_histogram", Json()), counts.histogram);
  } else {
    return std::nullopt;
  }
  if (counts.steps <= 0) return std::nullopt;
  depths_of_histogram(counts);
  int64_t accepted = 0;
  for (size_t i = 1; i < counts.histogram.size(); ++i)
    accepted += static_cast<int64_t>(i) * counts.histogram[i];
  counts.emitted = counts.steps + accepted;
  counts.length_sum = static_cast<double>(counts.emitted) / static_cast<double>(counts.steps);
  return counts;
}

std::string said_in(const Json& reply) {
  if (!reply.is_object() || !reply.contains("choices")) return "";
  std::string said;
  for (const Json& choice : reply["choices"]) {
    if (!choice.is_object()) continue;
    Json message = choice.value("message", Json());
    if (message.is_object() && message.contains("tool_calls") && message["tool_calls"].is_array())
      for (Json& call : message["tool_calls"])
        if (call.is_object()) call.erase("id");
    said += message.dump();
  }
  return said;
}

}  // namespace ft::eval
