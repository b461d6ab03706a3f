#include "server/engine_settings.h"

#include <gtest/gtest.h>

#include "tests/support/drafter_choice.h"

namespace ft::server {
namespace {

TEST(EngineSettings, CarryEveryOption) {
  Options options;
  options.drafter = "mtp+ngram";
  options.tree_nodes = 5;
  options.tree = "chain";
  options.max_sequences = 6;
  options.context = 7;
  options.queue = 8;
  options.kv_cache_mib = 9000;
  options.prefix_cache_mib = 10;
  options.batch_rows = 110;
  options.prefill_chunk = 12;
  options.canary_rate = 0.13;
  options.state_dir = "/state";
  const auto engine = engine_settings(options);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ(engine->drafter, support::drafter("mtp+ngram"));
  EXPECT_EQ(engine->tree_nodes, 5);
  EXPECT_EQ(engine->tree_shape, draft::TreeShape::kChain);
  EXPECT_EQ(engine->max_sequences, 6);
  EXPECT_EQ(engine->context, 7);
  EXPECT_EQ(engine->queue_max, 8);
  EXPECT_EQ(engine->kv_bytes, int64_t{9000} * 1024 * 1024);
  EXPECT_EQ(engine->prefix_cache_bytes, 10 * 1024 * 1024);
  EXPECT_EQ(engine->batch_rows, 110);
  EXPECT_EQ(engine->prefill_chunk, 12);
  EXPECT_EQ(engine->canary_rate, 0.13);
  EXPECT_EQ(engine->state_folder, "/state");
  ASSERT_TRUE(engine->on_warning);
  engine->on_warning("no log is running, so this goes nowhere");
}

TEST(EngineSettings, LeaveTheTreeToTheScheduler) {
  EXPECT_EQ(engine_settings(Options{})->tree_nodes, 0);
  EXPECT_EQ(engine_settings(Options{})->tree_shape, draft::TreeShape::kBestFirst);
}

TEST(EngineSettings, RefuseUnknownDrafters) {
  Options options;
  options.drafter = "eagle";
  const auto engine = engine_settings(options);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(engine.error().message.find("eagle"), std::string::npos);
}

TEST(EngineSettings, LimitTheNodesOfARequest) {
  scheduler::EngineOptions options;
  options.tree_nodes_max = 17;
  options.batch_rows = 256;
  EXPECT_EQ(tree_nodes_max(options), 17);
  options.tree_nodes = 4;  // a request may ask for more than the fixed number
  EXPECT_EQ(tree_nodes_max(options), kTreeNodesMax);
  options.batch_rows = 8;
  EXPECT_EQ(tree_nodes_max(options), 8);
  options.tree_nodes = 0;
  EXPECT_EQ(tree_nodes_max(options), 8);
}

}  // namespace
}  // namespace ft::server
