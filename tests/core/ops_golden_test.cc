// Op goldens (tests/data/goldens/ops) on every backend. Ops that need weights take them from tiny-v4.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "core/quantize.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/golden_file.h"
#include "tests/support/sublayers.h"

namespace ft::test {
namespace {

constexpr double kAbsolute = 1e-5;  // tolerances of the goldens' README for float op arrays
constexpr double kRelative = 1e-5;
// Official outputs are bf16: the same bits but for a few neighbours.
constexpr double kFewElements = 0.01;
constexpr double kBf16Step = 1.0 / 128;

const GoldenFile& goldens() {
  static const GoldenFile file(FT_TEST_DATA "/goldens/ops/ops.safetensors");
  return file;
}

const GoldenCheckpoint& tiny() {
  static const GoldenCheckpoint checkpoint(FT_TEST_DATA "/goldens/tiny-v4");
  return checkpoint;
}

std::vector<float> add(std::vector<float> a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

std::vector<float> round_all(std::vector<float> values) {
  for (float& value : values) value = round_bf16(value);
  return values;
}

std::vector<float> identity(int64_t size) {
  std::vector<float> values(static_cast<size_t>(size * size), 0.0f);
  for (int64_t i = 0; i < size; ++i) values[i * size + i] = 1.0f;
  return values;
}

std::vector<float> transpose(const std::vector<float>& values, int64_t rows, int64_t cols) {
  std::vector<float> out(values.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) out[c * rows + r] = values[r * cols + c];
  }
  return out;
}

class OpGoldens : public testing::Test {
 protected:
  // Calls body(memory, mode) for every backend in each of `numerics`; mode is "exact" or "official".
  static void for_each(const std::function<void(BackendMemory&, const std::string&)>& body,
                       const ModelConfig& config = tiny().config()) {
    for (const BackendUnderTest& under_test : backends_under_test()) {
      for (const Numerics numerics : kBothNumerics) {
        SCOPED_TRACE(under_test.label + ", " + numerics_name(numerics));
        const auto backend = under_test.make(numerics);
        backend->reserve(config, 400);
        BackendMemory memory(*backend);
        body(memory, numerics_name(numerics));
      }
    }
  }

  // Exact within the float tolerance; official mostly the same bf16 numbers.
  static testing::AssertionResult matches(const std::string& mode, const std::vector<float>& actual,
                                          const std::vector<float>& golden) {
    if (mode == "exact") return near_golden(actual, golden, kAbsolute, kRelative);
    return mostly_equal(actual, golden, kFewElements, 1e-3, kBf16Step);
  }
};

// y = I W^T is the dequantised weight, transposed.
TEST_F(OpGoldens, WeightsDequantiseBitExactly) {
  ModelConfig config = tiny().config();
  config.hidden_size = 384;
  for_each(
      [](BackendMemory& memory, const std::string&) {
        for (const char* name : {"fp8_dequant.aligned", "fp8_dequant.ragged", "fp4_dequant"}) {
          const std::string prefix(name);
          const auto shape = goldens().shape(prefix + ".out");
          HostWeight weight;
          weight.format = prefix == "fp4_dequant" ? WeightFormat::kFp4Row : WeightFormat::kFp8Block;
          weight.rows = shape[0];
          weight.cols = shape[1];
          weight.data = goldens().bytes(prefix + ".weight");
          weight.scale = goldens().bytes(prefix + ".scale");
          const Matrix y = memory.output(weight.cols, weight.rows);
          const Matrix x = memory.matrix(identity(weight.cols), weight.cols);
          memory.backend().linear(x, memory.weight(weight), y, LinearInput::kAsIs, LinearOutput::kF32);
          const auto golden = goldens().floats(prefix + ".out");
          const auto actual = transpose(memory.read(y), shape[1], shape[0]);
          for (size_t i = 0; i < golden.size(); ++i) {
            ASSERT_EQ(actual[i], golden[i]) << prefix << " element " << i;
          }
        }
      },
      config);
}

// With the identity as fp8 weight, a linear returns its quantised input.
TEST_F(OpGoldens, ActivationsQuantiseBitExactly) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const int64_t cols = goldens().shape("act_quant.x")[1];
    const auto x = goldens().floats("act_quant.x");
    const Weight weight = memory.weight(identity_weight(WeightFormat::kFp8Block, cols, cols));
    const Matrix y = memory.output(goldens().shape("act_quant.x")[0], cols);
    memory.backend().linear(memory.matrix(x, cols), weight, y, LinearInput::kQ8, LinearOutput::kF32);
    const auto golden = mode == "exact" ? x : goldens().floats("act_quant.b128.ue8m0.dequant_bf16");
    const auto actual = memory.read(y);
    for (size_t i = 0; i < golden.size(); ++i) ASSERT_EQ(actual[i], golden[i]) << "element " << i;
    // Left alone where the input is asked for as it is.
    memory.backend().linear(memory.matrix(x, cols), weight, y, LinearInput::kAsIs, LinearOutput::kF32);
    EXPECT_EQ(memory.read(y), x);
  });
}

TEST_F(OpGoldens, HadamardIsTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const Matrix x = memory.matrix(goldens().floats("hadamard.x"), 128);
    memory.backend().index_query(x, 128, memory.no_rotation(64, x.rows));
    auto golden = goldens().floats(mode == "exact" ? "hadamard.out_f32" : "hadamard.out_bf16");
    if (mode == "official") {
      for (size_t row = 0; row < golden.size(); row += 128) q4sim(golden.data() + row, 128);
      EXPECT_TRUE(near_golden(memory.read(x), golden, 0.0, 0.0));
    } else {
      EXPECT_TRUE(near_golden(memory.read(x), golden, kAbsolute, kRelative));
    }
  });
}

// Streams with one non-zero element per row, so that the projection returns the golden mixes.
TEST_F(OpGoldens, SinkhornIsTheReferences) {
  const int64_t d = tiny().config().hidden_size;
  const auto mixes = goldens().floats("sinkhorn.mixes");
  const int64_t rows = goldens().shape("sinkhorn.mixes")[0];
  const float peak = std::sqrt(static_cast<float>(4 * d));
  const double rho = 1.0 / std::sqrt(1.0 + 1e-6);
  HostWeight fn = zero_weight(WeightFormat::kF32, 24, 4 * d);
  std::vector<float> streams(static_cast<size_t>(rows * 4 * d), 0.0f);
  std::vector<float> values(static_cast<size_t>(24 * 4 * d), 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t column = r % 4 * d + r;  // row r has its element in stream r % 4
    streams[r * 4 * d + column] = peak;
    for (int64_t i = 0; i < 24; ++i)
      values[i * 4 * d + column] = static_cast<float>(mixes[r * 24 + i] / (peak * rho));
  }
  std::memcpy(fn.data.data(), values.data(), fn.data.size());
  for (const auto& [iterations, name] :
       {std::pair(1, "sinkhorn.comb_iters1"), std::pair(2, "sinkhorn.comb_iters2"),
        std::pair(20, "sinkhorn.comb")}) {
    ModelConfig config = tiny().config();
    config.hc_sinkhorn_iters = iterations;
    for_each(
        [&, name = std::string(name)](BackendMemory& memory, const std::string& mode) {
          const HyperConnectionWeights hc{memory.weight(fn), memory.vector(goldens().floats("sinkhorn.base")),
                                          memory.vector(goldens().floats("sinkhorn.scale"))};
          const Matrix y = memory.output(rows, d);
          const Matrix post = memory.output(rows, 4);
          const Matrix comb = memory.output(rows, 16);
          memory.backend().hc_pre(memory.matrix(streams, 4 * d), hc, {}, y, post, comb);
          EXPECT_TRUE(near_golden(memory.read(comb), goldens().floats(name), kAbsolute, kRelative)) << name;
          EXPECT_TRUE(
              near_golden(memory.read(post), goldens().floats("sinkhorn.post"), kAbsolute, kRelative));
          const auto collapsed = memory.read(y);
          const auto pre = goldens().floats("sinkhorn.pre");
          for (int64_t r = 0; r < rows; ++r) {
            const double tolerance = mode == "exact" ? 2e-5 : 1.0 / 256;
            EXPECT_NEAR(collapsed[r * d + r] / peak, pre[r * 4 + r % 4], tolerance) << r;
          }
        },
        config);
  }
}

TEST_F(OpGoldens, HyperConnections) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    if (mode == "official") return;  // the goldens are float32
    const int64_t d = tiny().config().hidden_size;
    const Matrix x = memory.matrix(goldens().floats("hc.x"), 4 * d);
    const Matrix y = memory.output(x.rows, d);
    const Matrix post = memory.output(x.rows, 4);
    const Matrix comb = memory.output(x.rows, 16);
    memory.backend().hc_pre(x, tiny().hyper_connection(memory, "layers.0.hc_attn"), {}, y, post, comb);
    EXPECT_TRUE(near_golden(memory.read(y), goldens().floats("hc.pre_y"), kAbsolute, kRelative));
    EXPECT_TRUE(near_golden(memory.read(post), goldens().floats("hc.post"), kAbsolute, kRelative));
    EXPECT_TRUE(near_golden(memory.read(comb), goldens().floats("hc.comb"), kAbsolute, kRelative));
    const HyperConnectionWeights head = tiny().hyper_connection(memory, "hc_head");
    memory.backend().hc_head(x, {head.fn, head.base, head.scale}, y);
    EXPECT_TRUE(near_golden(memory.read(y), goldens().floats("hc.head_out"), kAbsolute, kRelative));
    const Matrix out = memory.matrix(goldens().floats("hc.sublayer_out"), d);
    memory.backend().hc_post(x, {out, memory.matrix(goldens().floats("hc.post"), 4),
                                 memory.matrix(goldens().floats("hc.comb"), 16)});
    EXPECT_TRUE(near_golden(memory.read(x), goldens().floats("hc.post_out"), kAbsolute, kRelative));
  });
}

ModelConfig rope_config(const std::string& kind) {
  ModelConfig config = tiny().config();
  if (kind == "yarn_real") config.rope_scaling = {16.0, 32.0, 1.0, 65536};
  return config;
}

RopeTable rope_table(const std::string& kind) {
  return kind == "plain" ? RopeTable::plain(rope_config(kind)) : RopeTable::compressed(rope_config(kind));
}

TEST(RopeGoldens, FrequenciesAndAngles) {
  const auto positions = goldens().ints("rope.positions");
  for (const std::string kind : {"plain", "yarn_tiny", "yarn_real"}) {
    SCOPED_TRACE(kind);
    const RopeTable table = rope_table(kind);
    EXPECT_EQ(table.frequencies(), goldens().floats("rope." + kind + ".inv_freq"));
    const auto cosines = goldens().floats("rope." + kind + ".cos");
    const auto sines = goldens().floats("rope." + kind + ".sin");
    std::vector<float> pairs(static_cast<size_t>(table.rope_dim()));
    for (size_t p = 0; p < positions.size(); ++p) {
      table.rotate(positions[p], pairs.data());
      for (size_t i = 0; i < pairs.size() / 2; ++i) {
        // One step of float32: the goldens' own cos and sin are rounded by another library.
        EXPECT_NEAR(pairs[2 * i], cosines[p * 32 + i], 6e-8) << "position " << positions[p] << " pair " << i;
        EXPECT_NEAR(pairs[2 * i + 1], sines[p * 32 + i], 6e-8)
            << "position " << positions[p] << " pair " << i;
      }
    }
  }
}

// Attention over a single key without a sink returns the key, turned back.
TEST_F(OpGoldens, RotationIsTheReferences) {
  for (const std::string kind : {"plain", "yarn_tiny", "yarn_real"}) {
    for_each([&](BackendMemory& memory, const std::string& mode) {
      if (mode == "official") return;  // the goldens are float32
      const auto x = goldens().floats("rope.x");
      const auto positions = goldens().ints("rope.positions");
      const auto rows = static_cast<int64_t>(positions.size());
      std::vector<float> backward;  // the conjugate, so that turning back turns forward
      std::vector<float> pairs(64);
      for (const int32_t position : positions) {
        rope_table(kind).rotate(position, pairs.data());
        for (size_t i = 0; i < pairs.size(); ++i) backward.push_back(i % 2 == 0 ? pairs[i] : -pairs[i]);
      }
      std::vector<int32_t> own_row(static_cast<size_t>(rows));
      std::iota(own_row.begin(), own_row.end(), 0);
      AttentionArgs args;
      args.q = memory.matrix(x, 128);
      args.raw = memory.floats(x);
      args.window = memory.ints(own_row);
      args.window_width = 1;
      args.sink = memory.vector({-1e30f});
      args.head_count = 1;
      args.head_dim = 128;
      args.out = memory.output(rows, 128);
      args.inverse = memory.rotations(rope_table(kind), positions);
      memory.backend().attend(args);
      EXPECT_TRUE(near_golden(memory.read(args.out), goldens().floats("rope." + kind + ".inverse_out"),
                              kAbsolute, kRelative))
          << kind;
      args.inverse = {memory.floats(backward), 64};
      memory.backend().attend(args);
      EXPECT_TRUE(
          near_golden(memory.read(args.out), goldens().floats("rope." + kind + ".out"), kAbsolute, kRelative))
          << kind;
    });
  }
}

TEST_F(OpGoldens, CompressorIsTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const ModelConfig& config = tiny().config();
    const Matrix x = memory.matrix(goldens().floats("compressor.x"), config.hidden_size);
    const BlockWeights csa = tiny().block(memory, 1);
    const BlockWeights hca = tiny().block(memory, 2);
    const auto csa_run = run_compressor(memory, config, csa.attn.compressor, 4, config.head_dim, false, x);
    const auto hca_run =
        run_compressor(memory, config, hca.attn.compressor, hca.ratio, config.head_dim, false, x);
    const auto key_run =
        run_compressor(memory, config, csa.attn.indexer.compressor, 4, config.index_head_dim, true, x);
    const auto golden = [&](const std::string& kind) {
      return goldens().floats("compressor." + kind + "." + mode + ".prefill");
    };
    if (mode == "exact") {
      EXPECT_TRUE(near_golden(csa_run.values, golden("csa"), kAbsolute, kRelative));
      EXPECT_TRUE(near_golden(hca_run.values, golden("hca"), kAbsolute, kRelative));
      EXPECT_TRUE(near_golden(key_run.values, golden("indexer"), kAbsolute, kRelative));
    } else {
      EXPECT_TRUE(mostly_equal(csa_run.values, golden("csa"), kFewElements, 1e-3, 0.13));
      EXPECT_TRUE(mostly_equal(hca_run.values, golden("hca"), kFewElements, 1e-3, 0.13));
      EXPECT_TRUE(mostly_equal(key_run.values, golden("indexer"), kFewElements, 0.5, 0.5));
    }
  });
}

TEST_F(OpGoldens, IndexerIsTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const ModelConfig& config = tiny().config();
    const Matrix x = memory.matrix(goldens().floats("compressor.x"), config.hidden_size);
    const Matrix low = memory.matrix(goldens().floats("indexer.qr"), config.q_lora_rank);
    const auto run = run_indexer(memory, config, tiny().block(memory, 1).attn.indexer, low, x);
    const std::string prefix = "indexer." + mode;
    const auto q = goldens().floats(prefix + ".q");
    const std::vector<float> first(run.q.begin(), run.q.begin() + static_cast<int64_t>(q.size()));
    if (mode == "exact") {
      EXPECT_TRUE(near_golden(first, q, kAbsolute, kRelative));
      EXPECT_TRUE(near_golden(run.weights, goldens().floats(prefix + ".weights"), kAbsolute, kRelative));
      EXPECT_TRUE(near_golden(run.scores, goldens().floats(prefix + ".scores"), 5 * kAbsolute, kRelative));
    } else {
      EXPECT_TRUE(mostly_equal(first, q, kFewElements, 0.5, 0.5));
      // The goldens' CPU run rounded the scale to bf16 too, which moves three in a hundred to a neighbour.
      EXPECT_TRUE(mostly_equal(run.weights, goldens().floats(prefix + ".weights"), 0.04, 0.0, kBf16Step));
      EXPECT_TRUE(mostly_equal(run.scores, goldens().floats(prefix + ".scores"), 0.05, 0.05, 0.05));
    }
    // Choices are equal as sets; where they differ (ties, or official rounding)
    // their scores are next to each other.
    const auto chosen = goldens().ints(prefix + ".topk");
    const auto scores = goldens().floats(prefix + ".scores");
    const int64_t entries = goldens().shape(prefix + ".scores")[1];
    const double slack = mode == "exact" ? 1e-4 : 0.05;
    for (int64_t r = 0; r < x.rows; ++r) {
      std::vector<float> ours;
      std::vector<float> theirs;
      for (int64_t i = 0; i < config.index_topk; ++i) {
        const int32_t mine = run.chosen[r * config.index_topk + i];
        const int32_t golden = chosen[r * config.index_topk + i];
        if (mine >= 0) ours.push_back(scores[r * entries + mine]);
        if (golden >= 0) theirs.push_back(scores[r * entries + golden]);
      }
      ASSERT_EQ(ours.size(), theirs.size()) << "row " << r;
      std::sort(ours.begin(), ours.end());
      std::sort(theirs.begin(), theirs.end());
      for (size_t i = 0; i < ours.size(); ++i) EXPECT_NEAR(ours[i], theirs[i], slack) << "row " << r;
    }
  });
}

TEST_F(OpGoldens, RouterIsTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const ModelConfig& config = tiny().config();
    const auto x = goldens().floats("compressor.x");
    const Matrix rows = memory.matrix({x.begin(), x.begin() + 24 * config.hidden_size}, config.hidden_size);
    for (const auto& [kind, layer] : {std::pair("score", 2), std::pair("hash", 0)}) {
      const std::string prefix = std::string("gate.") + kind;
      const auto run =
          run_moe(memory, config, tiny().block(memory, layer).ffn, goldens().ints("gate.ids"), rows);
      const auto ids = goldens().ints(prefix + "." + mode + ".indices");
      const auto weights = goldens().floats(prefix + "." + mode + ".weights");
      for (size_t r = 0; r < 24; ++r) {
        const size_t swapped = ids[2 * r] < ids[2 * r + 1] ? 0 : 1;  // ours are in ascending order
        for (size_t i = 0; i < 2; ++i) {
          EXPECT_EQ(run.ids[2 * r + i], ids[2 * r + (i ^ swapped)]) << prefix << " row " << r;
          EXPECT_NEAR(run.weights[2 * r + i], weights[2 * r + (i ^ swapped)], 2e-5) << prefix << " row " << r;
        }
      }
    }
  });
}

TEST_F(OpGoldens, ExpertsAreTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const ModelConfig& config = tiny().config();
    const int64_t d = config.hidden_size;
    const Matrix x = memory.matrix(goldens().floats("linear.x"), d);
    const int32_t* ids = memory.ints(std::vector<int32_t>(8, 0));
    // The recorded weights are the official ones, rounded to bf16; the exact run had these.
    auto row_weights = goldens().floats("expert.weights");
    for (size_t r = 0; r < 8 && mode == "exact"; ++r) {
      row_weights[r] = static_cast<float>(0.2 + 1.8 / 7 * static_cast<double>(r));
    }
    const float* weights = memory.floats(row_weights);
    const Matrix y = memory.output(8, d);
    MoeWeights moe = tiny().block(memory, 2).ffn;
    const auto routed = goldens().floats("expert." + mode + ".routed0");
    auto sum = add(routed, goldens().floats("expert." + mode + ".shared"));
    if (mode == "official") sum = round_all(sum);
    memory.backend().moe(x, moe, ids, weights, 1, config.swiglu_limit, y);
    const auto both = memory.read(y);
    moe.shared.w2 = memory.weight(zero_weight(WeightFormat::kFp8Block, d, moe.shared.w2.cols));
    memory.backend().moe(x, moe, ids, weights, 1, config.swiglu_limit, y);
    const auto routed_alone = memory.read(y);
    if (mode == "exact") {
      EXPECT_TRUE(near_golden(both, sum, 2 * kAbsolute, kRelative));
      EXPECT_TRUE(near_golden(routed_alone, routed, kAbsolute, kRelative));
    } else {
      EXPECT_TRUE(near_on_average(both, sum, 0.002));
      EXPECT_TRUE(near_on_average(routed_alone, routed, 0.002));
    }
  });
}

// Identity projections leave the SwiGLU product alone, clamps included.
TEST_F(OpGoldens, SwiGlu) {
  ModelConfig config = tiny().config();
  config.hidden_size = 128;
  for_each(
      [](BackendMemory& memory, const std::string& mode) {
        if (mode == "official") return;  // the goldens are float32
        const auto gate = goldens().floats("swiglu.gate");
        const auto up = goldens().floats("swiglu.up");
        std::vector<float> x;
        for (int64_t r = 0; r < 8; ++r) {
          x.insert(x.end(), gate.begin() + r * 64, gate.begin() + (r + 1) * 64);
          x.insert(x.end(), up.begin() + r * 64, up.begin() + (r + 1) * 64);
        }
        constexpr auto kFp8 = WeightFormat::kFp8Block;
        const ExpertWeights identities{memory.weight(identity_weight(kFp8, 64, 128)),
                                       memory.weight(identity_weight(kFp8, 64, 128, 64)),
                                       memory.weight(identity_weight(kFp8, 128, 64))};
        ExpertWeights nothing = identities;
        nothing.w2 = memory.weight(zero_weight(kFp8, 128, 64));
        for (const bool as_shared : {false, true}) {
          MoeWeights moe;
          moe.experts.push_back(as_shared ? nothing : identities);
          moe.shared = as_shared ? identities : nothing;
          const Matrix y = memory.output(8, 128);
          memory.backend().moe(memory.matrix(x, 128), moe, memory.ints(std::vector<int32_t>(8, 0)),
                               memory.floats(std::vector<float>(8, 1.0f)), 1, 10.0f, y);
          const auto wide = memory.read(y);
          std::vector<float> product;
          for (int64_t r = 0; r < 8; ++r) {
            product.insert(product.end(), wide.begin() + r * 128, wide.begin() + r * 128 + 64);
          }
          // The golden has silu(gate) formed in bf16: two roundings of up to 2^-8 relative.
          EXPECT_TRUE(near_golden(product, goldens().floats("swiglu.out"), kAbsolute, 2.0 / 256))
              << as_shared;
        }
      },
      config);
}

TEST_F(OpGoldens, LinearsAreTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const Matrix x = memory.matrix(goldens().floats("linear.x"), tiny().config().hidden_size);
    for (const auto& [golden, name] :
         {std::pair("wq_a", "layers.2.attn.wq_a"), std::pair("expert0_w1", "layers.2.ffn.experts.0.w1")}) {
      const Weight weight = tiny().linear(memory, name);
      const Matrix y = memory.output(x.rows, weight.rows);
      memory.backend().linear(x, weight, y, LinearInput::kQ8, LinearOutput::kBF16);
      EXPECT_TRUE(matches(mode, memory.read(y), goldens().floats("linear." + mode + "." + golden))) << golden;
    }
  });
}

TEST_F(OpGoldens, NormsAreTheReferences) {
  for_each([](BackendMemory& memory, const std::string& mode) {
    const auto values = goldens().floats("linear.x");
    const Matrix x = memory.matrix(values, 256);
    memory.backend().rms_norm(x, tiny().vector(memory, "layers.2.attn_norm.weight"), x);
    EXPECT_TRUE(matches(mode, memory.read(x), goldens().floats("rmsnorm." + mode + ".attn_norm")));
    const Matrix heads = memory.matrix(values, 256);
    memory.backend().query_norm_rope(heads, 128, 1, memory.no_rotation(64, heads.rows));
    const auto golden = goldens().floats("qheadnorm." + mode + ".out");
    // The goldens' CPU run summed the bf16 squares in bf16: the factor of a head may be a step or two away.
    EXPECT_TRUE(mode == "exact" ? near_golden(memory.read(heads), golden, kAbsolute, kRelative)
                                : near_golden(memory.read(heads), golden, 0.0, 2 * kBf16Step));
  });
}

TEST_F(OpGoldens, AttentionCore) {
  ModelConfig config = tiny().config();
  config.sliding_window = 90;
  for_each(
      [](BackendMemory& memory, const std::string& mode) {
        AttentionArgs args;
        args.q = memory.matrix(goldens().floats("sparse_attn.q"), 4 * 128);
        args.raw = memory.floats(goldens().floats("sparse_attn.kv"));
        args.window = memory.ints(goldens().ints("sparse_attn.idx"));
        args.window_width = 90;
        args.sink = memory.vector(goldens().floats("sparse_attn.sink"));
        args.head_count = 4;
        args.head_dim = 128;
        args.inverse = memory.no_rotation(64, 5);
        args.out = memory.output(5, 4 * 128);
        memory.backend().attend(args);
        const auto golden = goldens().floats("sparse_attn." + mode + ".out");
        if (mode == "exact") {
          EXPECT_TRUE(near_golden(memory.read(args.out), golden, kAbsolute, kRelative));
        } else {
          // The released kernel rounds a weight relative to the largest logit so far,
          // we to the largest of all.
          EXPECT_TRUE(near_on_average(memory.read(args.out), golden, 0.005));
        }
      },
      config);
}

}  // namespace
}  // namespace ft::test
