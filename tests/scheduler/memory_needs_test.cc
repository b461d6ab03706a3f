#include "scheduler/memory_needs.h"

#include <gtest/gtest.h>

#include "core/model.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temp_dir.h"

namespace ft::scheduler {
namespace {

ModelConfig config_of(const char* path) {
  return ModelConfig::parse(file_bytes(path), path).value();
}

TEST(MemoryNeeds, CountTheCacheExactly) {
  auto backend = support::make_test_backend("cpu1", Numerics::kOfficial);
  const auto checkpoint = Checkpoint::load(FT_MODELS "/v4-nano-dspark", *backend).value();
  EngineOptions requested;
  requested.max_sequences = 3;
  requested.context = 1000;
  requested.batch_rows = 64;
  requested.prefill_chunk = 64;
  const EngineOptions options = resolve(requested, checkpoint->config(), backend->cache_format()).value();
  const std::vector<MemoryPart> parts =
      memory_parts(checkpoint->config(), 0, options, backend->cache_format());
  const Model model(*backend, *checkpoint, cache_limits(options));
  ASSERT_EQ(parts[0].name, "cache");
  EXPECT_GE(parts[0].bytes, model.cache().bytes());
  EXPECT_LE(parts[0].bytes, model.cache().bytes() * 105 / 100);
}

// docs/spec/model.md 4.1: 3514.25 and 5031.44 bytes a token, 7.3 % and 10.5 % of DeepSeek-V3.2's 48,068.
TEST(MemoryNeeds, ATokenTakesThePapersBytesInAPackedCache) {
  const struct {
    std::string config;
    const char* text;
    double bytes;
    double of_v32;
  } cases[] = {{FT_TEST_DATA "/configs/flash/config.json", "tokens of 3514 bytes", 3514.25, 0.073},
               {FT_TEST_DATA "/configs/pro/config.json", "tokens of 5031 bytes", 5031.44, 0.105}};
  for (const auto& expected : cases) {
    const ModelConfig config = config_of(expected.config.c_str());
    EngineOptions requested;
    requested.context = requested.cache_tokens = 1 << 20;
    requested.max_sequences = 1;
    const EngineOptions options = resolve(requested, config, RowFormat::kPacked).value();
    const KvCache::Footprint footprint =
        KvCache::footprint(config, config.main_ratios(), cache_limits(options), RowFormat::kPacked);
    const double bytes = static_cast<double>(footprint.bytes_per_page_tokens) / kPageTokens;
    EXPECT_NEAR(bytes / expected.bytes, 1.0, 0.001) << expected.config;
    EXPECT_NEAR(bytes / 48068, expected.of_v32, 0.0005) << expected.config;
    const std::string text = memory_text(memory_parts(config, 0, options, RowFormat::kPacked));
    EXPECT_NE(text.find(expected.text), std::string::npos) << text;
  }
}

TEST(MemoryNeeds, NameWhatIsTooMuch) {
  ModelConfig config = config_of(FT_TEST_DATA "/configs/flash/config.json");
  EngineOptions requested;
  requested.cache_tokens = 1 << 20;
  OptionNames names;
  names.cache = "--kv-cache-mib";
  const MemoryLimit limit{int64_t{4} << 30, "this machine's memory"};
  const auto refused = [&](std::initializer_list<const char*> fragments) {
    const EngineOptions options = resolve(requested, config, RowFormat::kF32).value();
    const auto fits = check_memory(memory_parts(config, 0, options, RowFormat::kF32, names), limit);
    ASSERT_FALSE(fits);
    EXPECT_EQ(fits.error().code, ErrorCode::kTooLarge);
    for (const char* fragment : fragments)
      EXPECT_NE(fits.error().message.find(fragment), std::string::npos) << fits.error().message;
  };
  refused({"this machine's memory is 4.0 GiB: cache ", "--kv-cache-mib for 1048576 tokens"});
  // A config value that multiplies memory is named with it.
  requested.cache_tokens = 1024;
  requested.max_sequences = 64;
  config.sliding_window = 4096;
  refused({": cache ", "sliding_window 4096 in 43 layers", "max sequences 64"});
  config.sliding_window = 128;
  requested.max_sequences = 1;
  requested.batch_rows = 65536;
  refused({"buffers of a step", "(batch rows 65536)"});
}

TEST(MemoryNeeds, FitWhereTheyFit) {
  const ModelConfig config = config_of(FT_MODELS "/v4-nano/config.json");
  const EngineOptions options = resolve({}, config, RowFormat::kPacked).value();
  EXPECT_TRUE(check_memory(memory_parts(config, 0, options, RowFormat::kPacked), host_memory_limit()));
  EXPECT_GT(host_memory_limit().bytes, 0);
  EXPECT_EQ(bytes_text(int64_t{3} << 29), "1.5 GiB");
  EXPECT_EQ(bytes_text(5 << 20), "5 MiB");
}

}  // namespace
}  // namespace ft::scheduler
