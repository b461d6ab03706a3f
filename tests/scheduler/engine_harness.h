// An engine's loop without its thread, for tests that turn it step by step.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "core/check.h"
#include "scheduler/engine_loop.h"
#include "tests/support/temp_dir.h"

namespace ft::scheduler {

inline ModelConfig nano_config() {
  const std::string path = FT_MODELS "/v4-nano/config.json";
  const Result<ModelConfig> parsed = ModelConfig::parse(file_bytes(path), path);
  FT_CHECK(parsed.has_value(), parsed.error().message);
  return *parsed;
}

// As Engine::create makes it; ends the test program if the options are refused.
inline std::unique_ptr<EngineLoop> make_loop(Backend& backend, const Checkpoint& checkpoint,
                                             const EngineOptions& requested) {
  const Result<EngineOptions> options = resolve(requested, checkpoint.config());
  FT_CHECK(options.has_value(), options.error().message);
  backend.reserve(checkpoint.config(), options->batch_rows);
  draft::DraftLimits limits;
  limits.sequences = options->max_sequences;
  limits.rows = options->batch_rows;
  limits.context = options->context;
  auto drafter = draft::make_drafter(options->drafter, backend, checkpoint, limits);
  FT_CHECK(drafter.has_value(), drafter.error().message);
  return std::make_unique<EngineLoop>(backend, checkpoint, *options, std::move(*drafter));
}

// Lets engines with these adaptive options believe that a row more costs nothing and a draft next to nothing,
// so that they draft on any machine: in the file of options.state_folder, which an engine that measures has
// written first.
inline void believe_in_speculation(Backend& backend, const Checkpoint& checkpoint,
                                   const EngineOptions& options) {
  const std::string origin = make_loop(backend, checkpoint, options)->costs_origin();
  FT_CHECK(origin == "measured at the start", origin);
  const std::string path = std::filesystem::directory_iterator(options.state_folder)->path();
  nlohmann::json kept = nlohmann::json::parse(file_bytes(path));
  for (nlohmann::json& point : kept["verify"]) point = {point[0], 1.0, 0.0, CostCurve::kMemory};
  for (nlohmann::json& point : kept["draft"]) point = {point[0], 1e-9, 0.0, CostCurve::kMemory};
  kept["seconds_per_expert"] = 0.0;
  kept["seconds_per_catch_up_row"] = 0.0;
  std::ofstream(path) << kept;
}

inline std::shared_ptr<TokenStream> enqueue(EngineLoop& loop, GenerateRequest request) {
  auto state = std::make_unique<RequestState>();
  auto stream = std::make_shared<TokenStream>(request.max_tokens, nullptr);
  state->stream = stream;
  state->request = std::move(request);
  state->submitted = Clock::now();
  loop.enqueue(std::move(state));
  return stream;
}

}  // namespace ft::scheduler
