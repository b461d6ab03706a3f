#include <gtest/gtest.h>

#include <algorithm>

#include "core/cpu/target.h"
#include "hwy/highway.h"
#include "hwy/targets.h"

namespace ft::cpu {
namespace {

class CpuTarget : public ::testing::Test {
 protected:
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    EXPECT_TRUE(use_target("auto"));
  }
};

TEST_F(CpuTarget, IsTheBestOneUnlessAnotherIsAskedFor) {
  ASSERT_TRUE(use_target("auto"));
  const std::vector<std::string_view> targets = available_targets();
  ASSERT_FALSE(targets.empty());
  EXPECT_EQ(targets.back(), "avx2");
  for (const std::string_view target : targets) {
    ASSERT_TRUE(use_target(target)) << target;
    EXPECT_EQ(target_name(), target);
  }
  ASSERT_TRUE(use_target("auto"));
  EXPECT_EQ(target_name(), targets.front());
}

TEST_F(CpuTarget, IsRefusedByNameWhereItIsUnknownOrMissing) {
  const auto unknown = use_target("sse9");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(unknown.error().message.find("'sse9'"), std::string::npos) << unknown.error().message;
  hwy::SetSupportedTargetsForTest(HWY_AVX2);
  const auto missing = use_target("avx512");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(missing.error().message.find("it has avx2"), std::string::npos) << missing.error().message;
}

TEST_F(CpuTarget, IsRefusedOnAProcessorThatHasNone) {
  hwy::SetSupportedTargetsForTest(HWY_SSE4);
  EXPECT_TRUE(available_targets().empty());
  const auto refused = use_target("auto");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(refused.error().message.find("AVX2"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace ft::cpu
