#include "core/page_pool.h"

#include <gtest/gtest.h>

namespace ft {
namespace {

// Pages of 32 entries of 4 tokens: 128 tokens a page.
RatioLayout layout_of(int32_t pages) {
  RatioLayout layout;
  layout.ratio = 4;
  layout.entries_per_page = 32;
  layout.page_count = pages;
  layout.page_stride = pages;
  return layout;
}

TEST(PagePool, CountsPagesByCompleteEntries) {
  const PagePool pool(layout_of(4), 1);
  EXPECT_EQ(pool.used_by(3), 0u);  // no entry is complete
  EXPECT_EQ(pool.used_by(4), 1u);
  EXPECT_EQ(pool.used_by(128), 1u);
  EXPECT_EQ(pool.used_by(132), 2u);
  EXPECT_FALSE(pool.ends_inside_page(3));
  EXPECT_TRUE(pool.ends_inside_page(4));
  EXPECT_FALSE(pool.ends_inside_page(131));
}

TEST(PagePool, AReservationIsUsedUpByTheSequenceThatHasIt) {
  PagePool pool(layout_of(4), 2);
  pool.reserve(0, 3);
  EXPECT_EQ(pool.unreserved(), 1);
  pool.append_free(0);
  pool.append_free(0);
  EXPECT_EQ(pool.unreserved(), 1);
  EXPECT_EQ(pool.reserved_for(0), 1);
  pool.reserve(0, 0);
  EXPECT_EQ(pool.unreserved(), 2);
  pool.check_integrity();
}

TEST(PagePool, WritingASharedPageTakesAPageOfItsOwn) {
  PagePool pool(layout_of(4), 2);
  pool.reserve(0, 1);
  const int32_t page = pool.append_free(0);
  pool.append_shared(1, page);
  EXPECT_TRUE(pool.is_shared(page));
  // 64 tokens end inside the page, so growing to 128 needs a copy of it where it is shared.
  EXPECT_EQ(pool.growth(1, 64, 128), 1);
  pool.reserve(1, 1);
  const int32_t own = pool.replace_shared(1, 0);
  EXPECT_NE(own, page);
  EXPECT_FALSE(pool.is_shared(page));
  EXPECT_EQ(pool.held_by(0)[0], page);
  EXPECT_EQ(pool.held_by(1)[0], own);
  EXPECT_EQ(pool.growth(1, 64, 128), 0);
  pool.check_integrity();
}

TEST(PagePool, APageIsFreeWhenNobodyHoldsIt) {
  PagePool pool(layout_of(2), 1);
  pool.reserve(0, 2);
  const int32_t first = pool.append_free(0);
  pool.append_free(0);
  pool.hold(first);  // by a snapshot
  EXPECT_EQ(pool.freed_by_truncate(0, 0), 1);
  pool.truncate(0, 0);
  EXPECT_EQ(pool.unreserved(), 1);
  pool.release(first);
  EXPECT_EQ(pool.unreserved(), 2);
  pool.check_integrity();
}

TEST(PagePoolDeathTest, TakingWithoutAReservationEndsTheProgram) {
  PagePool pool(layout_of(2), 1);
  EXPECT_DEATH(pool.append_free(0), "reserved_");
}

TEST(PagePoolDeathTest, SharingAPageThatNobodyHoldsEndsTheProgram) {
  PagePool pool(layout_of(2), 1);
  EXPECT_DEATH(pool.append_shared(0, 1), "references_");
}

}  // namespace
}  // namespace ft
