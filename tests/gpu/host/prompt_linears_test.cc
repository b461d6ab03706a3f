// Which rows go to a matrix library and how it finds its operands, seen without a device or a library.
#include "core/cuda/prompt_linears.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <numeric>

#include "core/cuda/cuda_backend.h"
#include "core/model.h"
#include "core/weights.h"
#include "tests/gpu/host/fake_runtime.h"
#include "tests/support/rank_threads.h"

namespace ft::test {
namespace {

using cuda::GemmOperands;
using cuda::GemmShape;

const std::string kTiny = FT_TEST_DATA "/goldens/tiny-v4";

struct Product {
  GemmShape shape;
  GemmOperands operands;
  const void* workspace;
};

struct Notes {
  std::mutex mutex;
  std::vector<Product> products;

  std::vector<Product> take() {
    const std::lock_guard lock(mutex);
    return std::exchange(products, {});
  }
};

class FakeLibrary final : public cuda::GemmLibrary {
 public:
  FakeLibrary(Notes& notes, bool block_scaled) : notes_(notes), block_scaled_(block_scaled) {}
  std::string name() const override { return "a stand-in"; }
  bool takes(const GemmShape& shape) override { return block_scaled_ || !shape.block_scaled; }
  void multiply(cuda::Queue, const GemmShape& shape, const GemmOperands& operands, void* workspace) override {
    const std::lock_guard lock(notes_.mutex);
    notes_.products.push_back({shape, operands, workspace});
  }

 private:
  Notes& notes_;
  bool block_scaled_;
};

std::unique_ptr<Backend> backend_with(Notes& notes, bool block_scaled, const RankGroup& ranks = {}) {
  std::unique_ptr<cuda::Exchange> exchange;
  if (ranks.size > 1) exchange = cuda::make_exchange(*ranks.comm, cuda::find_places(*ranks.comm).value());
  return std::make_unique<cuda::CudaBackend>(Numerics::kOfficial, 0, "no device", ranks, std::move(exchange),
                                             std::make_unique<FakeLibrary>(notes, block_scaled));
}

class Stepper {
 public:
  Stepper(Backend& backend, const Checkpoint& checkpoint)
      : model_(backend, checkpoint, limits()),
        first_(*model_.cache().open(8)),
        second_(*model_.cache().open(200)) {}

  // Nothing is committed: the next step begins at the same lengths.
  void step(int32_t before, int32_t prompt, bool name_prompt) {
    std::vector<Row> rows;
    for (int32_t i = 0; i < before; ++i) rows.push_back({i, i, first_, i - 1});
    for (int32_t i = 0; i < prompt; ++i)
      rows.push_back({i % 5, i, second_, i == 0 ? kCommitted : before + i - 1});
    rows.push_back({3, prompt, second_, before + prompt - 1});  // a draft behind the prompt
    const RowRange range{before, prompt};
    const int32_t last[] = {before + prompt};
    KvTransaction transaction = model_.cache().begin();
    (void)model_.forward(transaction.stage(rows), last, std::span(&range, name_prompt ? 1 : 0));
  }

  const ModelConfig& config() const { return model_.config(); }

 private:
  static CacheLimits limits() {
    CacheLimits limits;
    limits.rows = 128;
    limits.sequences = 2;
    limits.context = 256;
    limits.total_tokens = 512;
    return limits;
  }
  Model model_;
  SequenceId first_;
  SequenceId second_;
};

std::vector<std::string> linears_of(const std::vector<Launch>& launches) {
  std::vector<std::string> names;
  for (const Launch& launch : launches)
    if (launch.kernel == "few_kernel" || launch.kernel == "joint_kernel" || launch.kernel == "many_kernel")
      names.push_back(launch.kernel);
  return names;
}

// Linears of the layers: what reads a layer's input, the two of the queries, wo_a and wo_b.
int64_t linears_of(const ModelConfig& config) {
  int64_t count = 0;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    const int ratio = config.compress_ratios[static_cast<size_t>(layer)];
    count += 5 + (ratio == 0 ? 0 : 2) + (ratio == 4 ? 4 : 0);
  }
  return count;
}

TEST(PromptLinears, TakeThePromptAndNothingElse) {
  for (const bool block_scaled : {false, true}) {
    Notes notes;
    const auto backend = backend_with(notes, block_scaled);
    EXPECT_EQ(backend->prefill_gemm(), PrefillGemm::kCublasLt);
    EXPECT_EQ(backend->description(), "no device, long prompts by a stand-in");
    const auto checkpoint = Checkpoint::load(kTiny, *backend).value();
    Stepper stepper(*backend, *checkpoint);
    (void)take_launches();
    stepper.step(3, 75, true);
    const std::vector<Product> products = notes.take();
    EXPECT_EQ(static_cast<int64_t>(products.size()), linears_of(stepper.config()));
    int64_t scaled = 0;
    for (const Product& product : products) {
      EXPECT_EQ(product.shape.rows, 80);  // 75, padded
      scaled += product.shape.block_scaled ? 1 : 0;
    }
    // wo_a reads bf16 activations, and the compressors and weights_proj are bf16.
    int64_t widened = 0;
    for (int layer = 0; layer < stepper.config().num_hidden_layers; ++layer) {
      const int ratio = stepper.config().compress_ratios[static_cast<size_t>(layer)];
      widened += 1 + (ratio == 0 ? 0 : 2) + (ratio == 4 ? 3 : 0);
    }
    EXPECT_EQ(scaled, block_scaled ? linears_of(stepper.config()) - widened : 0);
    // Three rows in front and one behind by the kernels of few rows, and so are the logits; the gate sees all rows.
    const auto launched = linears_of(take_launches());
    const int64_t layers = stepper.config().num_hidden_layers;
    EXPECT_EQ(std::count(launched.begin(), launched.end(), "few_kernel") +
                  std::count(launched.begin(), launched.end(), "joint_kernel"),
              2 * 4 * layers + 1);
    EXPECT_LE(std::count(launched.begin(), launched.end(), "many_kernel"), 2 * layers);  // 64 rows a launch

    stepper.step(3, 75, false);
    EXPECT_TRUE(notes.take().empty());
  }
}

TEST(PromptLinears, AllocateNothingInAStep) {
  Notes notes;
  const auto backend = backend_with(notes, true);
  const auto checkpoint = Checkpoint::load(kTiny, *backend).value();
  Stepper stepper(*backend, *checkpoint);
  stepper.step(3, 75, false);  // places the tables of experts
  const int64_t before = allocations();
  stepper.step(0, 127, true);
  EXPECT_FALSE(notes.take().empty());
  EXPECT_EQ(allocations(), before);
  EXPECT_TRUE(refused().empty()) << ::testing::PrintToString(refused());
}

// A task whose operands lie nowhere: addresses are looked at, not followed, by the stand-ins.
struct FakeTask {
  explicit FakeTask(WeightFormat format, int64_t rows, int64_t cols, int64_t m, int groups = 1) {
    task.weight.format = format;
    task.weight.data = reinterpret_cast<const void*>(uintptr_t{1} << 40);
    task.weight.scale = reinterpret_cast<const uint8_t*>(uintptr_t{1} << 41);
    task.weight.rows = rows;
    task.weight.cols = cols;
    task.x = Matrix(reinterpret_cast<float*>(uintptr_t{1} << 42), m, groups * cols);
    task.x.stride = task.x.cols;
    task.y = Matrix(reinterpret_cast<float*>(uintptr_t{1} << 43), m, rows, rows);
    task.groups = groups;
    task.grouped = groups > 1;
    task.quantize = groups == 1;
    task.round = true;
  }
  cuda::LinearTask task;
};

using Region = std::pair<uintptr_t, uintptr_t>;

Region region(const void* begin, int64_t bytes) {
  const auto at = reinterpret_cast<uintptr_t>(begin);
  return {at, at + static_cast<uintptr_t>(bytes)};
}

// Every product of V4-Flash: its operands lie in the scratch, apart, aligned, and cover the output once.
TEST(PromptLinears, OperandsLieApart) {
  const auto base = reinterpret_cast<uint8_t*>(uintptr_t{1} << 44);
  for (const bool block_scaled : {false, true}) {
    for (const FakeTask& fake :
         {FakeTask(WeightFormat::kFp8Block, 1024, 4096, 129),
          FakeTask(WeightFormat::kFp8Block, 32768, 1024, 65),
          FakeTask(WeightFormat::kFp8Block, 4096, 8192, 512),
          FakeTask(WeightFormat::kFp8Block, 8192, 4096, 200, 8),
          FakeTask(WeightFormat::kFp8Block, 65536, 1536, 72),
          FakeTask(WeightFormat::kFp8Block, 5000, 16384, 72),
          FakeTask(WeightFormat::kFp8Block, 16 * 1024, 8192, 80, 16),
          FakeTask(WeightFormat::kBF16, 512, 4096, 100), FakeTask(WeightFormat::kBF16, 64, 4096, 100)}) {
      Notes notes;
      cuda::PromptLinears linears(std::make_unique<FakeLibrary>(notes, block_scaled));
      const cuda::LinearTask& task = fake.task;
      const auto way = linears.way_of(task);
      ASSERT_NE(way, cuda::PromptLinears::Way::kNone);
      const size_t bytes = cuda::PromptLinears::scratch_bytes(task, way);
      EXPECT_LE(bytes, cuda::PromptLinears::most_bytes(task.x.rows, task.x.cols, task.weight.rows));
      linears.run({}, task, way, false, base);
      int64_t covered = 0;
      for (const Product& product : notes.take()) {
        const GemmShape& shape = product.shape;
        const int64_t element = shape.block_scaled ? 1 : 2;
        const auto* y = reinterpret_cast<const uint8_t*>(product.operands.y);
        std::vector<Region> regions = {
            region(product.operands.x,
                   ((shape.rows - 1) * shape.x_stride + shape.groups * shape.inputs) * element),
            region(y, ((shape.rows - 1) * shape.y_stride + shape.groups * shape.outputs) * 4),
            region(product.workspace, static_cast<int64_t>(cuda::kGemmWorkspaceBytes))};
        if (shape.block_scaled) {
          regions.push_back(region(product.operands.x_scales, shape.rows * (shape.inputs / 128) * 4));
          regions.push_back(region(product.operands.weight_scales,
                                   (shape.outputs + 127) / 128 * cuda::scale_stride(shape.inputs) * 4));
        } else if (task.weight.format == WeightFormat::kFp8Block) {
          regions.push_back(
              region(product.operands.weight, shape.groups * shape.outputs * shape.inputs * element));
        }
        std::sort(regions.begin(), regions.end());
        EXPECT_GE(regions.front().first, reinterpret_cast<uintptr_t>(base));
        EXPECT_LE(regions.back().second, reinterpret_cast<uintptr_t>(base) + bytes);
        for (size_t i = 0; i < regions.size(); ++i) {
          EXPECT_EQ(regions[i].first % 16, 0u);
          if (i > 0) {
            EXPECT_LE(regions[i - 1].second, regions[i].first) << i;
          }
        }
        EXPECT_EQ(shape.inputs, task.weight.cols);
        EXPECT_EQ(shape.y_stride, task.weight.rows);
        EXPECT_GE(shape.rows, task.x.rows);
        covered += shape.groups * shape.outputs;
      }
      EXPECT_EQ(covered, task.weight.rows);
    }
  }
}

TEST(PromptLinears, LeaveWhatTheLibraryCannotTake) {
  Notes notes;
  cuda::PromptLinears linears(std::make_unique<FakeLibrary>(notes, true));
  using Way = cuda::PromptLinears::Way;
  EXPECT_EQ(linears.way_of(FakeTask(WeightFormat::kF32, 128, 128, 70).task), Way::kNone);
  EXPECT_EQ(linears.way_of(FakeTask(WeightFormat::kFp4Row, 128, 128, 70).task), Way::kNone);
  EXPECT_EQ(linears.way_of(FakeTask(WeightFormat::kBF16, 128, 192, 70).task), Way::kNone);
  EXPECT_EQ(linears.way_of(FakeTask(WeightFormat::kBF16, 132, 128, 70).task), Way::kNone);
  FakeTask shifted(WeightFormat::kBF16, 128, 128, 70);
  ++shifted.task.x.data;
  EXPECT_EQ(linears.way_of(shifted.task), Way::kNone);
  EXPECT_EQ(linears.way_of(FakeTask(WeightFormat::kBF16, 128, 128, 70).task), Way::kWidened);
}

// What rank 0 names as prompts reaches the library of every rank.
TEST(PromptLinears, OfRanksAreTheSameRows) {
  Notes notes[2];
  const ranks::OfferBackend offer = [&](const ranks::ModelRequest&, const ranks::Ranks& ranks) {
    ranks::BackendOffer made;
    made.kind = "cuda";
    made.make = [&notes, group = ranks.group()]() -> Result<std::unique_ptr<Backend>> {
      return backend_with(notes[group.rank], true, group);
    };
    return Result<ranks::BackendOffer>(std::move(made));
  };
  const auto endings =
      support::run_ranks(2, offer, [&](ranks::Ranks& ranks, const ranks::OfferBackend& each) {
        const auto shared = ranks::open_shared_model(ranks, {kTiny}, each);
        ASSERT_TRUE(shared) << shared.error().message;
        EXPECT_EQ(shared->backend->prefill_gemm(), PrefillGemm::kCublasLt);
        Stepper stepper(*shared->backend, *shared->checkpoint);
        stepper.step(2, 90, true);
        stepper.step(2, 90, false);
      });
  EXPECT_EQ(endings[1], "0");
  const auto first = notes[0].take();
  const auto second = notes[1].take();
  EXPECT_GT(first.size(), 0u);
  EXPECT_EQ(first.size(), second.size());
  for (const Product& product : first) EXPECT_EQ(product.shape.rows, 96);
  for (const Product& product : second) EXPECT_EQ(product.shape.rows, 96);
}

}  // namespace
}  // namespace ft::test
