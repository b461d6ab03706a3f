// Recorded sub-layers of tiny-v4 (tests/data/goldens) recomputed from ops on every backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/golden_file.h"
#include "tests/support/sublayers.h"

namespace ft::test {
namespace {

constexpr double kAbsolute = 5e-5;  // tolerances of the goldens' README for exact intermediates
constexpr double kRelative = 1e-5;
constexpr double kOfficialFraction = 0.015;  // of the standard deviation, for an official sub-layer

const GoldenFile& goldens() {
  static const GoldenFile file(FT_TEST_DATA "/goldens/tiny-v4/goldens.safetensors");
  return file;
}

const GoldenCheckpoint& tiny() {
  static const GoldenCheckpoint checkpoint(FT_TEST_DATA "/goldens/tiny-v4");
  return checkpoint;
}

std::string layer_name(const std::string& mode, int layer) {
  return "detail." + mode + ".layers." + std::to_string(layer) + ".";
}

void for_each(const std::function<void(BackendMemory&, const std::string&)>& body) {
  for (const BackendUnderTest& under_test : backends_under_test()) {
    for (const Numerics numerics : kBothNumerics) {
      SCOPED_TRACE(under_test.label + ", " + numerics_name(numerics));
      const auto backend = under_test.make(numerics);
      backend->reserve(tiny().config(), 64);
      BackendMemory memory(*backend);
      body(memory, numerics_name(numerics));
    }
  }
}

testing::AssertionResult matches(const std::string& mode, const std::vector<float>& actual,
                                 const std::string& name) {
  const auto golden = goldens().floats(name);
  const auto result = mode == "exact" ? near_golden(actual, golden, kAbsolute, kRelative)
                                      : near_on_average(actual, golden, kOfficialFraction);
  return result ? result : testing::AssertionFailure() << name << ": " << result.message();
}

TEST(SublayerGoldens, EmbeddingIsTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    if (mode == "official") return;
    const auto tokens = goldens().ints("detail.tokens");
    const auto rows = static_cast<int64_t>(tokens.size());
    const int64_t d = tiny().config().hidden_size;
    const Matrix streams = memory.output(rows, 4 * d);
    memory.backend().embed(memory.ints(tokens), tiny().linear(memory, "embed"), 4, streams);
    const auto actual = memory.read(streams);
    const auto golden = goldens().floats("detail.exact.embed");
    for (int64_t i = 0; i < rows * 4 * d; ++i) ASSERT_EQ(actual[i], golden[i / (4 * d) * d + i % d]) << i;
    const Matrix one = memory.output(rows, d);
    memory.backend().gather_rows(memory.ints(tokens), tiny().linear(memory, "embed"), one);
    EXPECT_EQ(memory.read(one), golden);
  });
}

// From the streams before a layer through both hyper-connections to the streams after it,
// with recorded sub-layer outputs.
TEST(SublayerGoldens, StreamsOfALayer) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const ModelConfig& config = tiny().config();
    const int64_t d = config.hidden_size;
    for (const int layer : {0, 1, 2, 4}) {
      if (mode == "official" && layer != 0) continue;  // the official streams in between are not recorded
      const std::string prefix = layer_name(mode, layer);
      const BlockWeights block = tiny().block(memory, layer);
      Matrix streams = memory.output(37, 4 * d);
      if (layer == 0) {
        memory.backend().embed(memory.ints(goldens().ints("detail.tokens")), tiny().linear(memory, "embed"),
                               4, streams);
      } else {
        streams = memory.matrix(goldens().floats(layer_name(mode, layer - 1) + "out"), 4 * d);
      }
      const Matrix y = memory.output(37, d);
      const Matrix post = memory.output(37, 4);
      const Matrix comb = memory.output(37, 16);
      const auto half = [&](const std::string& half_name, const HyperConnectionWeights& hc, Vector norm,
                            const std::string& sublayer) {
        if (mode == "exact") {
          memory.backend().hc_pre(streams, hc, {}, y, post, comb);
          EXPECT_TRUE(matches(mode, memory.read(y), prefix + half_name + ".y"));
        }
        memory.backend().hc_pre(streams, hc, norm, y, post, comb);
        EXPECT_TRUE(matches(mode, memory.read(y), prefix + sublayer + ".in"));
        EXPECT_TRUE(matches(mode, memory.read(post), prefix + half_name + ".post"));
        EXPECT_TRUE(matches(mode, memory.read(comb), prefix + half_name + ".comb"));
        memory.backend().hc_post(
            streams, {memory.matrix(goldens().floats(prefix + sublayer + ".out"), d), post, comb});
      };
      half("hc_attn", block.hc_attn, block.attn_norm, "attn");
      if (mode == "exact" && layer == 1) {
        EXPECT_TRUE(matches(mode, memory.read(streams), prefix + "hc_attn.out"));
      }
      half("hc_ffn", block.hc_ffn, block.ffn_norm, "ffn");
      if (mode == "exact") {
        EXPECT_TRUE(matches(mode, memory.read(streams), prefix + "out"));
      }
    }
  });
}

TEST(SublayerGoldens, AttentionIsTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const ModelConfig& config = tiny().config();
    for (const int layer : {0, 1, 2, 4}) {
      if (mode == "official" && layer == 4) continue;
      const std::string prefix = layer_name(mode, layer) + "attn.";
      const Matrix x = memory.matrix(goldens().floats(prefix + "in"), config.hidden_size);
      const AttentionRun run = run_attention(memory, config, tiny().block(memory, layer), x);
      EXPECT_TRUE(matches(mode, run.out, prefix + "out"));
      if (layer != 4) {
        EXPECT_TRUE(matches(mode, run.q, prefix + "q"));
        EXPECT_TRUE(matches(mode, run.kv, prefix + "kv"));
        EXPECT_TRUE(matches(mode, run.core, prefix + "core_out"));
      }
      if (layer != 0) {
        EXPECT_TRUE(matches(mode, run.compressor.values, prefix + "compressor.out"));
      }
      if (layer_kind(config.compress_ratios[layer]) != LayerKind::kCsa) continue;
      EXPECT_TRUE(matches(mode, run.indexer.keys.values, prefix + "indexer.compressor.out"));
      const auto scores = goldens().floats(prefix + "indexer.scores");
      EXPECT_TRUE(mode == "exact" ? near_golden(run.indexer.scores, scores, kAbsolute, kRelative)
                                  : near_golden(run.indexer.scores, scores, 0.1, 0.05));
      if (mode == "official") continue;  // ties are chosen at will there
      const auto golden = goldens().ints(prefix + "indexer.topk");
      for (int64_t r = 0; r < x.rows; ++r) {
        std::vector<int32_t> expected(golden.begin() + r * config.index_topk,
                                      golden.begin() + (r + 1) * config.index_topk);
        std::vector<int32_t> chosen(run.indexer.chosen.begin() + r * config.index_topk,
                                    run.indexer.chosen.begin() + (r + 1) * config.index_topk);
        std::sort(expected.begin(), expected.end());
        std::sort(chosen.begin(), chosen.end());
        EXPECT_EQ(chosen, expected) << prefix << " row " << r;
      }
    }
  });
}

TEST(SublayerGoldens, MixtureOfExperts) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const ModelConfig& config = tiny().config();
    const int k = config.num_experts_per_tok;
    for (const int layer : {0, 1, 2, 4}) {
      if (mode == "official" && layer == 4) continue;
      const std::string prefix = layer_name(mode, layer) + "ffn.";
      const Matrix x = memory.matrix(goldens().floats(prefix + "in"), config.hidden_size);
      const MoeRun run =
          run_moe(memory, config, tiny().block(memory, layer).ffn, goldens().ints("detail.tokens"), x);
      EXPECT_TRUE(matches(mode, run.out, prefix + "out"));
      const auto ids = goldens().ints(prefix + "gate.indices");
      const auto weights = goldens().floats(prefix + "gate.weights");
      for (int64_t r = 0; r < x.rows; ++r) {
        for (int i = 0; i < k; ++i) {
          const auto begin = ids.begin() + r * k;
          const auto found = std::find(begin, begin + k, run.ids[r * k + i]);
          ASSERT_NE(found, begin + k) << prefix << " row " << r << " chose " << run.ids[r * k + i];
          EXPECT_NEAR(run.weights[r * k + i], weights[found - ids.begin()], 2e-5) << prefix << " row " << r;
        }
      }
    }
  });
}

TEST(SublayerGoldens, HeadIsTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    if (mode == "official") return;
    const int64_t d = tiny().config().hidden_size;
    const Matrix streams = memory.matrix(goldens().floats("detail.exact.final_hidden_pre_head"), 4 * d);
    const HyperConnectionWeights head = tiny().hyper_connection(memory, "hc_head");
    const Matrix y = memory.output(streams.rows, d);
    memory.backend().hc_head(streams, {head.fn, head.base, head.scale}, y);
    EXPECT_TRUE(matches(mode, memory.read(y), "detail.exact.hc_head_out"));
    memory.backend().rms_norm(y, tiny().vector(memory, "norm.weight"), y);
    EXPECT_TRUE(matches(mode, memory.read(y), "detail.exact.final_norm_out"));
    const Matrix logits = memory.output(streams.rows, tiny().config().vocab_size);
    memory.backend().linear(y, tiny().linear(memory, "head"), logits, LinearInput::kAsIs, LinearOutput::kF32);
    EXPECT_TRUE(near_golden(memory.read(logits), goldens().floats("detail.exact.logits"), 1e-4, 0.0));
  });
}

// The target features of a draft: main_norm(main_proj(auxiliary hidden states)), K = 3 hidden sizes.
TEST(SublayerGoldens, DraftInput) {
  const std::string directory = FT_TEST_DATA "/goldens/tiny-v4-dspark";
  const GoldenFile draft_goldens(directory + "/goldens.safetensors");
  const GoldenCheckpoint checkpoint(directory);
  for (const BackendUnderTest& under_test : backends_under_test()) {
    SCOPED_TRACE(under_test.label);
    const auto backend = under_test.make(Numerics::kExact);
    backend->reserve(checkpoint.config(), 64);
    BackendMemory memory(*backend);
    for (const int length : {1, 2, 7, 15, 16, 17, 37}) {
      const std::string suffix = ".L" + std::to_string(length);
      const int64_t d = checkpoint.config().hidden_size;
      const Matrix auxiliary = memory.matrix(draft_goldens.floats("main_hidden.exact" + suffix), 3 * d);
      const Matrix y = memory.output(auxiliary.rows, d);
      memory.backend().linear(auxiliary, checkpoint.linear(memory, "mtp.0.main_proj"), y, LinearInput::kQ8,
                              LinearOutput::kBF16);
      memory.backend().rms_norm(y, checkpoint.vector(memory, "mtp.0.main_norm.weight"), y);
      EXPECT_TRUE(near_golden(memory.read(y), draft_goldens.floats("main_x_prefill.exact" + suffix),
                              kAbsolute, kRelative));
    }
  }
}

}  // namespace
}  // namespace ft::test
