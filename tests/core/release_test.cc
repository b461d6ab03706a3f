#include "core/release.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace ft {
namespace {

std::string name_of(const std::string& path) {
  return release_name(ModelConfig::parse(file_bytes(path), path).value());
}

TEST(Release, IsToldByTheConfig) {
  const std::string configs = FT_TEST_DATA "/configs/";
  EXPECT_EQ(name_of(configs + "flash/config.json"), "DeepSeek-V4-Flash");
  EXPECT_EQ(name_of(configs + "flash-dspark/config.json"), "DeepSeek-V4-Flash-DSpark");
  EXPECT_EQ(name_of(configs + "pro/config.json"), "DeepSeek-V4-Pro");
  EXPECT_EQ(name_of(configs + "pro-dspark/config.json"), "DeepSeek-V4-Pro-DSpark");
  EXPECT_EQ(name_of(FT_MODELS "/v4-nano/config.json"), "DeepSeek-V4, 5 layers 256 wide");
  ModelConfig config = ModelConfig::parse(file_bytes(configs + "flash/config.json"), "config.json").value();
  config.experts_fp4 = false;
  EXPECT_EQ(release_name(config), "DeepSeek-V4-Flash-Base");
}

}  // namespace
}  // namespace ft
