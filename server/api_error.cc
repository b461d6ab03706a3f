#include "server/api_error.h"

#include <algorithm>
#include <iterator>

#include "encoding/ordered_json.h"

namespace ft::server {
namespace {

std::string_view type_of_status(int status) {
  if (status == 401) return "authentication_error";
  if (status == 404) return "not_found_error";
  if (status == 429) return "rate_limit_error";
  if (status == 503) return "service_unavailable";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

// The fields that the engine's messages may begin with.
constexpr std::string_view kEngineFields[] = {"max_tokens",
                                              "temperature",
                                              "top_k",
                                              "top_p",
                                              "min_p",
                                              "repetition_penalty",
                                              "presence_penalty",
                                              "frequency_penalty",
                                              "logprobs",
                                              "logit_bias",
                                              "speculation.max_nodes",
                                              "speculation.drafter"};

std::string field_at_fault(std::string_view message) {
  const std::string_view word = message.substr(0, message.find(' '));
  const auto* known = std::find(std::begin(kEngineFields), std::end(kEngineFields), word);
  return known != std::end(kEngineFields) ? std::string(word) : std::string();
}

void append_or_null(std::string& out, const std::string& text) {
  if (text.empty()) {
    out += "null";
  } else {
    encoding::append_json_string(out, text);
  }
}

}  // namespace

std::string error_json(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  encoding::append_json_string(out, error.message);
  out += R"(,"type":)";
  encoding::append_json_string(out, error.type);
  out += R"(,"param":)";
  append_or_null(out, error.param);
  out += R"(,"code":)";
  append_or_null(out, error.code);
  out += "}}";
  return out;
}

ApiError bad_field(std::string param, std::string message) {
  ApiError error;
  error.message = std::move(message);
  error.param = std::move(param);
  return error;
}

ApiError refusal(int status, std::string message, std::string code) {
  ApiError error;
  error.status = status;
  error.type = type_of_status(status);
  error.message = std::move(message);
  error.code = std::move(code);
  return error;
}

ApiError from_engine(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
      return bad_field(field_at_fault(error.message), error.message);
    case ErrorCode::kTooLarge:
      return refusal(400, error.message, "context_length_exceeded");
    case ErrorCode::kOverloaded: {
      ApiError overloaded = refusal(429, error.message, "queue_full");
      overloaded.retry_after_seconds = 1;
      return overloaded;
    }
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable:
      return refusal(503, error.message, "unavailable");
    case ErrorCode::kInvalidFile:
    case ErrorCode::kInternal:
      break;
  }
  ApiError internal = refusal(500, error.message, "internal_error");
  internal.work_was_begun = true;
  return internal;
}

ApiError from_encoding(const encoding::EncodingError& error, std::string param) {
  return bad_field(std::move(param), error.message);
}

}  // namespace ft::server
