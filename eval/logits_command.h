// `foretoken-eval logits`: the logits of whole sequences, for comparison with other implementations.
#pragma once

#include <string>

#include "eval/session.h"

namespace ft::eval {

struct LogitsOptions {
  SessionOptions session;
  std::string tokens;   // JSON file: a list of token-id lists
  std::string out;      // safetensors file: logits.0, logits.1, ... F32 [length, vocab]
  int64_t chunk = 128;  // rows of one forward call
};

Result<void> run_logits(const LogitsOptions& options);

}  // namespace ft::eval
