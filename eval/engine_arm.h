// One way to run prompts, ready to be compared with others: its checkpoint, backend and engine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eval/generate_command.h"

namespace ft::eval {

// `base` changed as the arm's name says: "backend/drafter/nodes", where nodes is a number of rows or
// "adaptive". kInvalidArgument with the name for any other form.
Result<GenerateOptions> parse_arm(const std::string& name, const GenerateOptions& base);

struct EngineArm {
  std::string name;
  GenerateOptions options;
  Session session;
  std::unique_ptr<scheduler::Engine> engine;  // after the session: it borrows from it
};

// Loads the checkpoint of `options` and starts an engine for these prompts; reads them from options.prompts
// first where `prompts` is empty.
Result<std::unique_ptr<EngineArm>> open_arm(const std::string& name, const GenerateOptions& options,
                                            std::vector<std::vector<int32_t>>& prompts);

}  // namespace ft::eval
