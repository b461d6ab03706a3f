// What the replies of Anthropic's API have in common, as JSON.
#pragma once

#include <string>
#include <string_view>

#include "encoding/ordered_json.h"
#include "server/generation/choice.h"
#include "server/generation/response_writer.h"
#include "server/generation/served_model.h"
#include "server/http/api_error.h"

namespace ft::server {

// {"type":"error","error":{"type","message"},"request_id"}. There is no member for the field at fault, so the
// message names it. Clients know a full context by its words: "prompt is too long: N tokens > M maximum".
std::string anthropic_error_json(const ApiError& error, std::string_view request_id);

// "end_turn", "stop_sequence", "max_tokens" or "tool_use".
std::string_view anthropic_stop_reason(EndReason reason);

// input_tokens are those that the cache did not have.
std::string anthropic_usage_json(const Usage& usage);

encoding::Json anthropic_models(const ServedModel& model);
// `name` is one of the served ones.
encoding::Json anthropic_model(const ServedModel& model, const std::string& name);

}  // namespace ft::server
