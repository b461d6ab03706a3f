// Engines of the nano model on the CPU, with their threads, and a question whose answer is known.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "scheduler/engine.h"
#include "tests/support/loaded_model.h"

namespace ft::scheduler {

// The model is loaded once: engines only borrow it.
class NanoEngine : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    backend_ = make_cpu_backend(Numerics::kOfficial, 1).release();
    checkpoint_ = Checkpoint::load(FT_MODELS "/v4-nano-dspark", *backend_).value().release();
  }
  static void TearDownTestSuite() {
    delete checkpoint_;
    delete backend_;
  }

  static EngineOptions options() {
    EngineOptions options;
    options.max_sequences = 2;
    options.context = 256;
    options.queue_max = 2;
    return options;
  }
  static std::unique_ptr<Engine> engine(const EngineOptions& options, const EngineParts& parts = {}) {
    return Engine::create(*backend_, *checkpoint_, options, parts).value();
  }
  static GenerateRequest request(int64_t max_tokens) {
    GenerateRequest request;
    request.prompt = {0,   4,    350,  292,  1823, 1850, 1862,
                      489, 1823, 1850, 1861, 1858, 5,    7};  // "What is 19 - 17?"
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0.0;
    return request;
  }
  // "19 - 17 = 2", end.
  static std::vector<int32_t> answer() { return {1850, 1862, 489, 1823, 1850, 1861, 326, 1823, 1852, 1}; }

  static std::vector<int32_t> read(TokenStream& stream) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!stream.finished() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(stream.finished());
    std::vector<int32_t> tokens;
    for (TokenEvent event; stream.pop(event);) tokens.push_back(event.token);
    return tokens;
  }

  inline static Backend* backend_ = nullptr;
  inline static Checkpoint* checkpoint_ = nullptr;
};

}  // namespace ft::scheduler
