// Ranks that go away, say nothing, or are not what they should be: everybody stops, with one message that names rank
// and cause.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "core/model.h"
#include "core/ranks/digest.h"
#include "core/ranks/mirror_backend.h"
#include "eval/prefill.h"
#include "tests/support/rank_threads.h"
#include "tests/support/temp_dir.h"

namespace ft::ranks {
namespace {

const std::string kTiny = FT_TEST_DATA "/goldens/tiny-v4";
const ModelRequest kRequest{kTiny, "cpu", "official", "auto", 1};
const ModelRequest kBad{kTiny, "cpu", "official", "auto", 7};

Result<BackendOffer> cpu(const ModelRequest&, const Ranks& ranks) {
  return BackendOffer{"cpu", "",
                      [group = ranks.group()] { return make_cpu_backend(Numerics::kOfficial, 1, group); }};
}

// On rank 1 that, on the others `plain`, where the request is the bad one.
OfferBackend on_rank_1(OfferBackend bad, OfferBackend plain = cpu) {
  return [bad = std::move(bad), plain = std::move(plain)](const ModelRequest& request, const Ranks& ranks) {
    if (request.threads != kBad.threads) return cpu(request, ranks);
    return (ranks.rank() == 1 ? bad : plain)(request, ranks);
  };
}

// A backend whose making is an exchange, as on devices.
Result<BackendOffer> exchanging(const ModelRequest&, const Ranks& ranks) {
  return BackendOffer{"cuda", "found on this machine",
                      [group = ranks.group()]() -> Result<std::unique_ptr<Backend>> {
                        std::vector<int64_t> places(static_cast<size_t>(group.size));
                        const int64_t own = group.rank;
                        group.comm->all_gather(&own, places.data(), sizeof(own));
                        return make_cpu_backend(Numerics::kOfficial, 1, group);
                      }};
}

bool has(const std::string& text, const std::string& piece) {
  return text.find(piece) != std::string::npos;
}

// The logits of some tokens, `times` over.
void run(SharedModel& model, int times) {
  CacheLimits limits;
  limits.sequences = 1;
  limits.rows = 8;
  limits.context = limits.total_tokens = 256;
  Model network(*model.backend, *model.checkpoint, limits);
  for (int i = 0; i < times; ++i)
    (void)eval::sequence_logits(network, std::vector<int32_t>{1, 2, 3, 4}, 4).value();
}

TEST(RankFailure, RanksThatDifferAreFoundBeforeALogitLeaves) {
  std::string seen;
  const auto endings = support::run_ranks(2, cpu, [&](Ranks& ranks, const OfferBackend& offer) {
    SharedModel model = open_shared_model(ranks, kRequest, offer).value();
    run(model, 2);
    // What a broken wire or memory would do: rank 1 plays a byte that rank 0 did not.
    std::vector<uint8_t> stream;
    const uint32_t id = 1 << 20;
    const uint64_t bytes = 64;
    stream.push_back(static_cast<uint8_t>(Verb::kAllocate));
    stream.insert(stream.end(), reinterpret_cast<const uint8_t*>(&id),
                  reinterpret_cast<const uint8_t*>(&id + 1));
    stream.insert(stream.end(), reinterpret_cast<const uint8_t*>(&bytes),
                  reinterpret_cast<const uint8_t*>(&bytes + 1));
    {
      const std::lock_guard lock(ranks.mutex());
      ranks.channel().send(MessageKind::kOps, 1, stream);
    }
    try {
      run(model, 1);
    } catch (const RankError& error) {
      seen = error.what();
    }
    EXPECT_THROW(run(model, 1), RankError);  // and for good
  });
  EXPECT_TRUE(has(seen, "rank 1 differs from rank 0 in step 2: digest")) << seen;
  EXPECT_EQ(endings[1], seen);
}

TEST(RankFailure, AFingerprintTellsWhatOfACheckpointDiffers) {
  const TempDir directory;
  const std::string other = directory.file("other");
  std::filesystem::copy(kTiny, other);
  // One bit of every byte, so that the sample finds it wherever it looks.
  {
    std::string bytes = file_bytes(kTiny + "/model.safetensors");
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof(header));
    for (size_t i = 8 + header; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bytes[i] ^ 1);
    directory.write("other/model.safetensors", bytes);
  }
  const auto print = [](const std::string& path) { return fingerprint(CheckpointFiles::open(path).value()); };
  EXPECT_EQ(print(other).difference(print(kTiny)), "the bytes of tensors");

  directory.write("other/config.json", file_bytes(kTiny + "/config.json") + "\n");
  EXPECT_EQ(print(other).difference(print(kTiny)), "config.json and the bytes of tensors");
}

// What rank 0 is told where rank 1 does `bad` with its backend and the others `plain`. Afterwards all go on with
// another model: none waits in an exchange, or takes an answer for that of another question.
std::string problem_of(const OfferBackend& bad, const OfferBackend& plain) {
  std::string problem;
  const auto endings =
      support::run_ranks(2, on_rank_1(bad, plain), [&](Ranks& ranks, const OfferBackend& offer) {
        const auto failed = open_shared_model(ranks, kBad, offer);
        ASSERT_FALSE(failed);
        problem = failed.error().message;
        SharedModel good = open_shared_model(ranks, kRequest, offer).value();
        run(good, 1);
      });
  EXPECT_EQ(endings[1], "0");
  return problem;
}

TEST(RankFailure, AFollowerThatCannotLoadIsNamedAndTheOthersGoOn) {
  const auto throws = [](const ModelRequest&, const Ranks&) -> Result<BackendOffer> {
    throw std::runtime_error("model-00002.safetensors: Input/output error");
  };
  const std::string problem = problem_of(throws, cpu);
  EXPECT_TRUE(has(problem, "rank 1 (pid ")) << problem;
  EXPECT_TRUE(has(problem, "cannot load its part: model-00002.safetensors: Input/output error")) << problem;
}

TEST(RankFailure, NobodyWaitsInAnExchangeForARankWithoutADevice) {
  const auto without = [](const ModelRequest&, const Ranks&) -> Result<BackendOffer> {
    return fail(ErrorCode::kUnavailable, "the CUDA driver reports no device");
  };
  const std::string problem = problem_of(without, exchanging);
  EXPECT_TRUE(has(problem, "rank 1 (pid ")) << problem;
  EXPECT_TRUE(has(problem, "cannot load its part: the CUDA driver reports no device")) << problem;
}

TEST(RankFailure, RanksComputeOnBackendsOfOneKind) {
  const auto fallback = [](const ModelRequest& request, const Ranks& ranks) {
    auto offer = cpu(request, ranks);
    offer->because = "because cuda is unavailable: built without CUDA";
    return offer;
  };
  const std::string problem = problem_of(fallback, exchanging);
  EXPECT_TRUE(has(problem,
                  "would compute on the backend cpu (because cuda is unavailable: built without CUDA), "
                  "rank 0 on cuda (found on this machine)"))
      << problem;
}

// What computes long prompts is rank 0's choice, and a rank whose library would add in another order is refused.
TEST(RankFailure, RanksComputeLongPromptsAlike) {
  const ModelRequest request{kTiny, "cpu", "official", "auto", kBad.threads, "cublaslt"};
  const auto with = [](const std::string& version) {
    return [version](const ModelRequest& asked, const Ranks&) -> Result<BackendOffer> {
      if (asked.prefill_gemm != "cublaslt")
        return fail(ErrorCode::kInternal, "asked for {}", asked.prefill_gemm);
      return BackendOffer{"cuda, long prompts by cuBLASLt " + version + " on NVIDIA H100 80GB HBM3", "", {}};
    };
  };
  std::string problem;
  (void)support::run_ranks(2, on_rank_1(with("13.1.0"), with("13.0.2")),
                           [&](Ranks& ranks, const OfferBackend& offer) {
                             const auto model = open_shared_model(ranks, request, offer);
                             problem = model ? "none" : model.error().message;
                           });
  EXPECT_TRUE(
      has(problem,
          "would compute on the backend cuda, long prompts by cuBLASLt 13.1.0 on NVIDIA H100 80GB HBM3, "
          "rank 0 on cuda, long prompts by cuBLASLt 13.0.2 on NVIDIA H100 80GB HBM3"))
      << problem;
}

TEST(RankFailure, AnExceptionBeforeAnExchangeOfBackendsEndsEverybody) {
  std::string seen;
  const auto throws = [](const ModelRequest&, const Ranks&) -> Result<BackendOffer> {
    return BackendOffer{"cuda", "", []() -> Result<std::unique_ptr<Backend>> { throw std::bad_alloc(); }};
  };
  const auto endings =
      support::run_ranks(2, on_rank_1(throws, exchanging), [&](Ranks& ranks, const OfferBackend& offer) {
        try {
          (void)open_shared_model(ranks, kBad, offer);
        } catch (const RankError& error) {
          seen = error.what();
        }
      });
  EXPECT_TRUE(has(seen, "rank 1 (pid ") && has(seen, "failed while it made its backend: std::bad_alloc"))
      << seen;
  EXPECT_EQ(endings[1], seen);
}

TEST(RankFailure, AnExceptionInAnOpOfAFollowerEndsEverybody) {
  std::string seen;
  const auto endings = support::run_ranks(2, cpu, [&](Ranks& ranks, const OfferBackend& offer) {
    SharedModel model = open_shared_model(ranks, kRequest, offer).value();
    const std::vector<uint8_t> nonsense = {255};
    {
      const std::lock_guard lock(ranks.mutex());
      ranks.channel().send(MessageKind::kOps, 1, nonsense);
    }
    try {
      for (int i = 0; i < 1000; ++i) run(model, 1);
    } catch (const RankError& error) {
      seen = error.what();
    }
  });
  EXPECT_TRUE(has(seen, "rank 1 (pid ") && has(seen, "unknown op 255")) << seen;
  EXPECT_EQ(endings[1], seen);
}

TEST(RankFailure, ThreeRanksAreRefused) {
  const uint16_t port = support::free_port();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank)
    threads.emplace_back([=] {
      const auto joined = support::join(rank, 3, port);
      ASSERT_FALSE(joined);
      EXPECT_EQ(joined.error().message, "3 ranks were started: a model is shared by 1, 2, 4 or 8");
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Watch, TellsRank0WhyAFollowerStopsAndLetsItReport) {
  std::string reported;
  bool follower_reported = false;
  const uint16_t port = support::free_port();
  std::thread follower([&] {
    auto joined =
        support::join(1, 2, port, {.on_alarm = [&](const std::string&) { follower_reported = true; }})
            .value();
    EXPECT_THROW(joined->channel().receive(), RankError);
    joined->end(0);
  });
  {
    auto leader =
        support::join(0, 2, port, {.on_alarm = [&](const std::string& message) { reported = message; }})
            .value();
    leader->alarm().raise("rank 0 has had enough");
    leader->end(0);
    follower.join();
  }
  EXPECT_EQ(reported, "rank 0 has had enough");
  EXPECT_FALSE(follower_reported);
}

}  // namespace
}  // namespace ft::ranks
