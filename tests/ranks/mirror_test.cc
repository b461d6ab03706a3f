// Ranks that share a model against one that has it alone: the same bits, with every kind of op and of checkpoint.
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <map>

#include "core/file.h"
#include "core/model.h"
#include "core/mtp.h"
#include "core/ranks/mirror_backend.h"
#include "eval/generate_command.h"
#include "eval/prefill.h"
#include "tests/support/rank_threads.h"
#include "tests/support/temp_dir.h"

namespace ft::ranks {
namespace {

const std::string kGoldens = FT_TEST_DATA "/goldens/";
constexpr int64_t kChunk = 7;  // so that blocks close inside and between chunks

Result<BackendOffer> cpu(const ModelRequest& request, const Ranks& ranks) {
  const Numerics numerics = request.mode == "exact" ? Numerics::kExact : Numerics::kOfficial;
  return BackendOffer{"cpu", "", [=, group = ranks.group()] { return make_cpu_backend(numerics, 1, group); }};
}

std::vector<int32_t> tokens_of(const ModelConfig& config, int64_t count) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>((i * i * 31 + i * 7 + 3) % config.vocab_size));
  return tokens;
}

std::vector<float> logits_of(Backend& backend, const Checkpoint& checkpoint) {
  CacheLimits limits;
  limits.sequences = 2;
  limits.rows = 16;
  limits.context = 512;
  limits.total_tokens = 1024;
  Model model(backend, checkpoint, limits);
  return eval::sequence_logits(model, tokens_of(checkpoint.config(), 150), kChunk).value();
}

class SharedCheckpoint : public ::testing::TestWithParam<std::tuple<const char*, const char*, int>> {};

TEST_P(SharedCheckpoint, GivesTheLogitsOfOneRank) {
  const auto& [name, mode, size] = GetParam();
  const ModelRequest request{kGoldens + name, "cpu", mode, "auto", 1};
  Ranks alone;
  const SharedModel one = open_shared_model(alone, request, cpu).value();
  const std::vector<float> expected = logits_of(*one.backend, *one.checkpoint);
  std::vector<float> seen;
  const auto endings = support::run_ranks(size, cpu, [&](Ranks& ranks, const OfferBackend& offer) {
    auto shared = open_shared_model(ranks, request, offer);
    ASSERT_TRUE(shared) << shared.error().message;
    EXPECT_EQ(shared->parts.size(), static_cast<size_t>(ranks.size()));
    seen = logits_of(*shared->backend, *shared->checkpoint);
  });
  ASSERT_EQ(seen.size(), expected.size());
  EXPECT_EQ(std::memcmp(seen.data(), expected.data(), seen.size() * sizeof(float)), 0);
  for (size_t rank = 1; rank < endings.size(); ++rank) EXPECT_EQ(endings[rank], "0");
}

INSTANTIATE_TEST_SUITE_P(Tiny, SharedCheckpoint,
                         ::testing::Combine(::testing::Values("tiny-v4", "tiny-v4-dspark", "tiny-v4-r128"),
                                            ::testing::Values("official", "exact"), ::testing::Values(2, 4)));

// Requests with and without drafts, whose prompts share prefixes, on fewer pages than they want.
std::vector<eval::Completion> complete(const SharedModel& model, const std::string& drafter) {
  eval::GenerateOptions options;
  options.drafter = drafter;
  options.tree_nodes = 6;
  options.max_tokens = 24;
  options.concurrency = 3;
  options.ignore_eos = true;
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < 6; ++i) {
    prompts.push_back(tokens_of(model.checkpoint->config(), 20 + 3 * (i % 3)));
    prompts.back().back() = static_cast<int32_t>(i);
  }
  const auto settings = eval::engine_options(options, model.checkpoint->config(), prompts).value();
  const auto engine = scheduler::Engine::create(*model.backend, *model.checkpoint, settings).value();
  return eval::generate(*engine, options, prompts, nullptr).value();
}

TEST(SharedEngine, GeneratesTheTokensOfOneRankWithEveryDrafter) {
  for (const auto& [name, drafter] :
       {std::pair("tiny-v4", "mtp"), std::pair("tiny-v4-dspark", "dspark"), std::pair("tiny-v4", "ngram")}) {
    const ModelRequest request{kGoldens + name, "cpu", "official", "auto", 1};
    Ranks alone;
    const auto expected = complete(open_shared_model(alone, request, cpu).value(), "none");
    (void)support::run_ranks(2, cpu, [&](Ranks& ranks, const OfferBackend& offer) {
      const SharedModel shared = open_shared_model(ranks, request, offer).value();
      const auto seen = complete(shared, drafter);
      ASSERT_EQ(seen.size(), expected.size());
      for (size_t i = 0; i < seen.size(); ++i)
        EXPECT_EQ(seen[i].tokens, expected[i].tokens) << name << ", " << drafter << ", request " << i;
    });
  }
}

TEST(SharedEngine, ServesSeveralModelsOfOneProcess) {
  const ModelRequest first{kGoldens + "tiny-v4", "cpu", "official", "auto", 1};
  const ModelRequest second{kGoldens + "tiny-v4-r128", "cpu", "official", "auto", 1};
  const auto endings = support::run_ranks(2, cpu, [&](Ranks& ranks, const OfferBackend& offer) {
    SharedModel a = open_shared_model(ranks, first, offer).value();
    SharedModel b = open_shared_model(ranks, second, offer).value();
    std::vector<float> of_a, of_b;
    std::thread beside([&] { of_a = logits_of(*a.backend, *a.checkpoint); });
    of_b = logits_of(*b.backend, *b.checkpoint);
    beside.join();
    EXPECT_EQ(of_a, logits_of(*a.backend, *a.checkpoint));
    EXPECT_EQ(of_b, logits_of(*b.backend, *b.checkpoint));
  });
  EXPECT_EQ(endings[1], "0");
}

TEST(SharedEngine, EndsWithOpsThatNobodyHasWaitedFor) {
  const ModelRequest request{kGoldens + "tiny-v4", "cpu", "official", "auto", 1};
  const auto endings = support::run_ranks(2, cpu, [&](Ranks& ranks, const OfferBackend& offer) {
    SharedModel shared = open_shared_model(ranks, request, offer).value();
    CacheLimits limits;
    limits.context = limits.total_tokens = 256;
    { const Model planned_only(*shared.backend, *shared.checkpoint, limits); }
    // Ops that name its config and weights are still under way.
    shared.checkpoint.reset();
    shared.backend.reset();
    EXPECT_FALSE(ranks.alarm().raised()) << ranks.alarm().message();
  });
  EXPECT_EQ(endings[1], "0");
}

TEST(SharedEngine, OpensEachFileOnceOnEachRank) {
  const TempDir directory;
  const std::string path = directory.file("model");
  std::filesystem::copy(kGoldens + "tiny-v4-r128", path);
  const Descriptor notify(inotify_init1(IN_NONBLOCK));
  ASSERT_GE(inotify_add_watch(notify.number(), path.c_str(), IN_OPEN), 0);
  (void)support::run_ranks(2, cpu, [&](Ranks& ranks, const OfferBackend& offer) {
    (void)open_shared_model(ranks, {path, "cpu", "official", "auto", 1}, offer).value();
  });
  std::map<std::string, int> opened;
  alignas(inotify_event) std::array<char, 1 << 16> events;
  for (ssize_t got = 0; (got = read(notify.number(), events.data(), events.size())) > 0;)
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(events.data() + at);
      if (event->len > 0) ++opened[event->name];
      at += static_cast<ssize_t>(sizeof(*event) + event->len);
    }
  // The system merges what two ranks do at the very same time.
  for (const char* name :
       {"config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"}) {
    EXPECT_GE(opened[name], 1) << name;
    EXPECT_LE(opened[name], 2) << name;
  }
}

}  // namespace
}  // namespace ft::ranks
