// HTTP requests to one server at stated moments, all from one thread, with the moment of everything that
// comes back. Plain HTTP/1.1; the one file that includes Beast is http_calls.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/load/url.h"

namespace ft::eval {

struct HttpCall {
  std::string target;  // path
  std::string body;    // POST; "" = GET
  double at = 0.0;     // seconds after the beginning of run_calls(), at the earliest
};

// One server-sent event, or a whole body that is no event stream.
struct ReplyEvent {
  double at = 0.0;  // seconds after the beginning
  std::string data;
};

// Why a call failed.
enum class CallError : uint8_t { kNone, kConnect, kTimeout, kBroken, kStatus };
const char* call_error_name(CallError error);

struct HttpReply {
  CallError error = CallError::kNone;
  std::string message;  // of an error, for people
  int status = 0;
  double sent = 0.0;   // when it was begun, connecting included
  double ended = 0.0;  // when its last byte or its error was there
  std::vector<ReplyEvent> events;
};

struct CallLimits {
  int32_t concurrency = 0;         // calls that are open at a time; 0 = no limit (an open loop)
  double timeout_seconds = 600.0;  // of one call
  std::string api_key;             // sent as a bearer token; "" = none
};

// Sends each call when its moment has come, or later where the limit holds it back: calls begin in the order
// given, and `at` must not fall. Returns the replies in that order. `on_end(i)` is called after each.
std::vector<HttpReply> run_calls(const Url& url, std::span<const HttpCall> calls, const CallLimits& limits,
                                 const std::function<void(size_t index)>& on_end = {});

}  // namespace ft::eval
