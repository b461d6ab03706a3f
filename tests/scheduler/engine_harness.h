// An engine's loop without its thread, for tests that turn it step by step.
#pragma once

#include <memory>
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

// Costs under which a row more is free and a draft next to free, so that an adaptive engine drafts on any machine.
inline void make_speculation_cheap(CostModel& costs) {
  std::vector<CostCurve::Point> verify(costs.verify_curve().points().begin(),
                                       costs.verify_curve().points().end());
  std::vector<CostCurve::Point> draft(costs.draft_curve().points().begin(),
                                      costs.draft_curve().points().end());
  for (CostCurve::Point& point : verify) point = {point.x, 1.0, 0.0, CostCurve::kMemory};
  for (CostCurve::Point& point : draft) point = {point.x, 1e-9, 0.0, CostCurve::kMemory};
  costs.restore(verify, draft, 0.0, 0.0);
}

// Ends the test program if the options are refused.
inline std::unique_ptr<EngineLoop> make_loop(Backend& backend, const Checkpoint& checkpoint,
                                             const EngineOptions& options, const EngineParts& parts = {}) {
  auto loop = EngineLoop::make(backend, checkpoint, options, parts);
  FT_CHECK(loop.has_value(), loop.error().message);
  return std::move(*loop);
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
