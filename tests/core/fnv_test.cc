#include "core/fnv.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ft {
namespace {

// The reference values of the algorithm's authors.
TEST(Fnv, HasThePublishedValues) {
  EXPECT_EQ(fnv1a(std::string()), 0xcbf29ce484222325u);
  EXPECT_EQ(fnv1a(std::string("a")), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(fnv1a(std::string("foobar")), 0x85944171f73967e8u);
}

TEST(Fnv, TakesANegativeUnitAsItsBits) {
  EXPECT_EQ(fnv1a(std::string("\xff")), (kFnvStart ^ 0xffu) * 0x100000001b3u);
  EXPECT_EQ(fnv1a(std::vector<int32_t>{-1}), (kFnvStart ^ 0xffffffffu) * 0x100000001b3u);
}

}  // namespace
}  // namespace ft
