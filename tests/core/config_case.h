// A small config.json that tests change, and what they expect of it.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/model_config.h"
#include "tests/support/temp_dir.h"

namespace ft {

using nlohmann::json;

inline constexpr const char* kPath = "some/where/config.json";

inline json tiny(const std::string& name = "tiny-v4") {
  return json::parse(file_bytes(FT_TEST_DATA "/goldens/" + name + "/config.json"));
}

inline Result<ModelConfig> parse(const json& value, std::vector<std::string>* warnings = nullptr) {
  return ModelConfig::parse(value.dump(), kPath, warnings);
}

inline void expect_refused(const json& value, const std::vector<std::string>& fragments,
                           const std::string& what) {
  const auto config = parse(value);
  ASSERT_FALSE(config) << what << " was accepted";
  EXPECT_EQ(config.error().code, ErrorCode::kInvalidFile) << what;
  EXPECT_NE(config.error().message.find(kPath), std::string::npos) << config.error().message;
  for (const std::string& fragment : fragments) {
    EXPECT_NE(config.error().message.find(fragment), std::string::npos)
        << what << ": no '" << fragment << "' in: " << config.error().message;
  }
}

}  // namespace ft
