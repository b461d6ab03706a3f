// A step that the backend records and replays gives the same results as running its ops.
#include <gtest/gtest.h>

#include "tests/support/backend_memory.h"
#include "tests/support/backends.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {
namespace {

// Two linears that are launched together, one that needs the first, and an hc_post with the next hc_pre.
TEST(Replay, RepeatsTheStepOnNewInput) {
  for (const Numerics numerics : kBothNumerics) {
    const ModelConfig config = nano_config();
    const auto backend = backends_under_test().front().make(numerics);
    const auto reference = make_reference_backend(numerics);
    RandomData random(5);
    const int64_t d = config.hidden_size;
    const int n = config.hc_mult;
    const int64_t rows = 5;
    const auto fn = random.values((2 + n) * n * n * d, 0.02f);
    const auto base = random.uniform((2 + n) * n, -1.0f, 1.0f);
    const auto scale = random.uniform(3, 0.5f, 1.0f);
    const auto norm = random.uniform(d, 0.5f, 1.5f);
    const auto first = random.weight(WeightFormat::kBF16, d, d);
    const auto second = random.weight(WeightFormat::kBF16, d, d);
    std::vector<std::vector<float>> inputs;
    for (int i = 0; i < 5; ++i) inputs.push_back(random.values(rows * n * d));

    struct Step {
      BackendMemory memory;
      Matrix streams, y, a, b, c, post, comb;
      HyperConnectionWeights hc;
      Weight first, second;
      Vector norm;
    };
    const auto prepare = [&](Backend& on) {
      on.reserve(config, rows);
      auto step = std::make_unique<Step>(Step{BackendMemory(on), {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}});
      BackendMemory& memory = step->memory;
      step->streams = memory.output(rows, n * d);
      step->y = memory.output(rows, d);
      step->a = memory.output(rows, d);
      step->b = memory.output(rows, d);
      step->c = memory.output(rows, d);
      step->post = memory.output(rows, n);
      step->comb = memory.output(rows, n * n);
      HostWeight fn_weight{WeightFormat::kF32, (2 + n) * n, n * d, {}, {}};
      fn_weight.data.resize(fn.size() * sizeof(float));
      std::memcpy(fn_weight.data.data(), fn.data(), fn_weight.data.size());
      step->hc.fn = memory.weight(fn_weight);
      step->hc.base = memory.vector(base);
      step->hc.scale = memory.vector(scale);
      step->first = memory.weight(first);
      step->second = memory.weight(second);
      step->norm = memory.vector(norm);
      return step;
    };
    const auto cuda_step = prepare(*backend);
    const auto reference_step = prepare(*reference);
    const auto execute = [&](Step& s, Backend& on) {
      on.hc_pre(s.streams, s.hc, s.norm, s.y, s.post, s.comb);
      const LinearCall calls[] = {{s.y, &s.first, s.a, LinearInput::kAsIs, LinearOutput::kBF16},
                                  {s.y, &s.second, s.b, LinearInput::kAsIs, LinearOutput::kBF16}};
      on.linears(calls);
      on.linear(s.a, s.second, s.c, LinearInput::kAsIs, LinearOutput::kBF16);
      on.hc_post_pre(s.streams, {s.c, s.post, s.comb}, s.hc, s.norm, s.y, s.post, s.comb);
      on.hc_post(s.streams, {s.b, s.post, s.comb});
    };
    const auto cuda_graph = backend->make_graph();
    const auto reference_graph = reference->make_graph();
    for (size_t i = 0; i < inputs.size(); ++i) {
      // Between the third run and the fourth the recording becomes void.
      if (i == 3) backend->reserve(config, rows);
      std::vector<float> input = inputs[i];
      if (numerics == Numerics::kOfficial) {
        for (float& value : input) value = round_bf16(value);
      }
      for (auto [step, on, graph] :
           {std::tuple{cuda_step.get(), backend.get(), cuda_graph.get()},
            std::tuple{reference_step.get(), reference.get(), reference_graph.get()}}) {
        on->upload(step->streams.data, input.data(), input.size() * sizeof(float));
        graph->run([&, s = step, b = on] { execute(*s, *b); });
      }
      const auto got = cuda_step->memory.read(cuda_step->streams);
      const auto want = reference_step->memory.read(reference_step->streams);
      double difference = 0.0;
      double size = 0.0;
      for (size_t k = 0; k < got.size(); ++k) {
        difference += (static_cast<double>(got[k]) - want[k]) * (static_cast<double>(got[k]) - want[k]);
        size += static_cast<double>(want[k]) * want[k];
      }
      // Exact: float32 sums. Official: a bf16 neighbour here and there.
      const double bound = numerics == Numerics::kExact ? 1e-5 : 5e-3;
      EXPECT_LE(std::sqrt(difference), bound * std::sqrt(size)) << numerics_name(numerics) << ", run " << i;
    }
  }
}

}  // namespace
}  // namespace ft::test
