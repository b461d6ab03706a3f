#include "server/api/anthropic_json.h"

#include <ctime>
#include <utility>

namespace ft::server {
namespace {

using encoding::append_json_string;
using encoding::Json;

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 408:
      return "timeout_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string message_of(const ApiError& error) {
  if (error.prompt_tokens > 0)
    return fmt::format("prompt is too long: {} tokens > {} maximum", error.prompt_tokens,
                       error.prompt_tokens_max);
  if (error.message.find(error.param) != std::string::npos) return error.message;
  return fmt::format("{}: {}", error.param, error.message);
}

// "2023-11-14T22:13:20Z"
std::string rfc3339(int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm utc{};
  gmtime_r(&time, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace

std::string anthropic_error_json(const ApiError& error, std::string_view request_id) {
  std::string out =
      fmt::format(R"({{"type":"error","error":{{"type":"{}","message":)", error_type(error.status));
  append_json_string(out, message_of(error));
  out += R"(},"request_id":)";
  append_json_string(out, request_id);
  out += '}';
  return out;
}

std::string_view anthropic_stop_reason(EndReason reason) {
  switch (reason) {
    case EndReason::kStopString:
      return "stop_sequence";
    case EndReason::kLength:
      return "max_tokens";
    case EndReason::kToolCalls:
      return "tool_use";
    case EndReason::kStop:
      break;
  }
  return "end_turn";
}

std::string anthropic_usage_json(const Usage& usage) {
  return fmt::format(
      R"({{"input_tokens":{},"cache_creation_input_tokens":0,"cache_read_input_tokens":{},"output_tokens":{}}})",
      usage.prompt_tokens - usage.cached_tokens, usage.cached_tokens, usage.completion_tokens);
}

Json anthropic_model(const ServedModel& model, const std::string& name) {
  Json json = Json::object();
  json.set("type", "model");
  json.set("id", name);
  json.set("display_name", name);
  json.set("created_at", rfc3339(model.created));
  json.set("max_input_tokens", model.context);
  return json;
}

Json anthropic_models(const ServedModel& model) {
  Json list = Json::array();
  for (const std::string& name : model.names) list.push_back(anthropic_model(model, name));
  Json json = Json::object();
  json.set("data", std::move(list));
  json.set("has_more", false);
  json.set("first_id", model.names.front());
  json.set("last_id", model.names.back());
  return json;
}

}  // namespace ft::server
