// An engine's loop without its thread, for tests that turn it step by step.
#pragma once

#include <memory>
#include <utility>

#include "core/check.h"
#include "scheduler/engine_loop.h"

namespace ft::scheduler {

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
