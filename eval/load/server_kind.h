// What a server is, as far as a client can ask.
#pragma once

#include <string>

#include "eval/load/http_calls.h"

namespace ft::eval {

struct ServerKind {
  std::string model;     // the name that requests use
  std::string owned_by;  // what /models says: "foretoken", "vllm", "sglang", ...

  bool is_ours() const { return owned_by == "foretoken"; }
  bool is_sglang() const { return owned_by == "sglang"; }
};

// Asks GET /models, for up to a minute while the answer is 503, as that of a server that loads its model.
// `wanted`: the model's name; "" = the first that is listed. kUnavailable, naming the
// address, where nothing answers as such a server does; kInvalidArgument, with the names there are, where
// `wanted` is none of them.
Result<ServerKind> ask_server(const std::string& address, const std::string& wanted,
                              const CallLimits& limits);

}  // namespace ft::eval
