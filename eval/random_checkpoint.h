// `foretoken-eval make-random`: a checkpoint directory with random weights, for measurements that depend on a
// model's size and shapes only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/error.h"

namespace ft::eval {

struct RandomCheckpointOptions {
  std::string config;          // config.json of the model
  std::string out;             // directory; made if it is not there
  std::string form = "plain";  // one of checkpoint_forms()
  uint64_t seed = 1;
  // Called now and then with bytes written and in total. May be empty.
  std::function<void(int64_t, int64_t)> progress;
};

// Writes out/config.json and out/model.safetensors with every tensor that the config describes, in official
// names and formats where the form does not say otherwise; values as in random_values.h, a function of the seed
// and the tensor's official name. Written piece by piece under another name and renamed at the end. Errors:
// what ModelConfig::parse says; kInvalidArgument for an unknown form, or where `out` has these files already;
// kTooLarge where its file system lacks the room; kInvalidFile where it cannot be written.
Result<void> make_random_checkpoint(const RandomCheckpointOptions& options);

}  // namespace ft::eval
