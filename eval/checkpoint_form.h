// The forms in which DeepSeek-V4 checkpoints exist in public, and forms that no loader may accept: fixtures of
// the loader's tests, written by `foretoken-eval make-random --form NAME`.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"
#include "eval/checkpoint_plan.h"

namespace ft::eval {

struct CheckpointForm {
  std::string_view name;
  std::string_view what;
  bool refused = false;  // no loader may accept it
  // Each may be empty. What is changed in the config before tensors are planned, in the plan, and in the
  // folder once it is written.
  std::function<void(nlohmann::ordered_json&)> config;
  std::function<void(CheckpointPlan&)> plan;
  std::function<Result<void>(const std::string& folder)> damage;
};

// All of them; the first, "plain", changes nothing.
std::span<const CheckpointForm> checkpoint_forms();
// kInvalidArgument with all names where there is none of that name.
Result<const CheckpointForm*> find_checkpoint_form(std::string_view name);

}  // namespace ft::eval
