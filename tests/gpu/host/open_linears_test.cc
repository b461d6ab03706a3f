// What may join linears that have not been launched yet, and what may not.
#include "core/cuda/open_linears.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/gpu/host/fake_runtime.h"

namespace ft::test {
namespace {

using cuda::CompressJob;
using cuda::LinearTask;
using cuda::OpenLinears;
using cuda::RowJob;

// Addresses are looked at, not followed.
Matrix matrix(uintptr_t place, int64_t rows, int64_t cols) {
  return Matrix(reinterpret_cast<float*>(place << 32), rows, cols, cols);
}

LinearTask task(const Matrix& x, const Matrix& y) {
  LinearTask made;
  made.x = x;
  made.y = y;
  made.weight.format = WeightFormat::kBF16;
  made.weight.data = reinterpret_cast<const void*>(uintptr_t{1} << 45);
  made.weight.rows = y.cols;
  made.weight.cols = x.cols;
  return made;
}

RowJob job(RowJob::Kind kind, const Matrix& x, const Matrix& g = {}, int32_t head_dim = 0) {
  RowJob made;
  made.kind = kind;
  made.x = x;
  made.g = g;
  made.head_dim = head_dim;
  return made;
}

class OpenLinearsTest : public ::testing::Test {
 protected:
  using Kind = RowJob::Kind;

  std::string launched() {
    open_.launch({}, 1e-6f, nullptr);
    EXPECT_TRUE(open_.empty());
    std::string names;
    for (const Launch& launch : take_launches()) names += launch.kernel + " ";
    return names;
  }

  const Matrix x_ = matrix(1, 4, 1024);
  const Matrix query_ = matrix(2, 4, 512);
  const Matrix kv_ = matrix(3, 4, 128);
  const Matrix elsewhere_ = matrix(4, 4, 128);
  CompressJob entry_;
  OpenLinears open_;
};

TEST_F(OpenLinearsTest, JobsJoinWhatTheyReadOrWhatHasNothingToDoWithThem) {
  (void)take_launches();
  entry_.count = 1;
  entry_.ratio = 4;
  entry_.head_dim = 128;
  const LinearTask tasks[] = {task(x_, query_), task(x_, kv_)};
  EXPECT_FALSE(open_.add(job(Kind::kStoreKv, kv_), 1)) << "nothing is open";
  ASSERT_TRUE(open_.add(tasks));
  EXPECT_FALSE(open_.add(tasks)) << "one set of linears at a time";
  EXPECT_FALSE(open_.add(job(Kind::kQuery, Matrix(query_.data, 4, 256, 512), {}, 128), 1))
      << "a part of a product";
  EXPECT_FALSE(open_.add(job(Kind::kQuery, Matrix(query_.data, 3, 512, 512), {}, 128), 1))
      << "some of its rows";
  EXPECT_FALSE(open_.add(job(Kind::kQuery, query_, {}, 96), 1)) << "heads that blocks do not divide";
  EXPECT_FALSE(open_.add(job(Kind::kStoreKv, x_), 1)) << "what the linears read";
  EXPECT_FALSE(open_.add(job(Kind::kStoreCompressorRows, elsewhere_, kv_), 1)) << "one of two is open";
  EXPECT_TRUE(open_.add(job(Kind::kQuery, query_, {}, 128), 1));
  EXPECT_FALSE(open_.add(job(Kind::kIndexQuery, query_, {}, 128), 1)) << "a product has one job";
  EXPECT_TRUE(open_.add(job(Kind::kStoreKv, elsewhere_), 1));
  EXPECT_TRUE(open_.add(entry_, 1));
  EXPECT_FALSE(open_.add(job(Kind::kStoreKv, kv_), 2)) << "of another scope";
  EXPECT_FALSE(open_.add(entry_, 2)) << "of another scope";
  EXPECT_EQ(launched(), "joint_kernel ");
}

TEST_F(OpenLinearsTest, ANormJoinsLinearsThatAllReadIt) {
  (void)take_launches();
  const float* weight = reinterpret_cast<const float*>(uintptr_t{1} << 46);
  const Matrix normed = matrix(5, 4, 1024);
  EXPECT_FALSE(open_.add_norm(x_, weight, x_)) << "in place, other blocks would read what one has written";
  ASSERT_TRUE(open_.add_norm(x_, weight, normed));
  EXPECT_FALSE(open_.add_norm(x_, weight, normed));
  const LinearTask other[] = {task(normed, query_), task(x_, kv_)};
  EXPECT_FALSE(open_.add(other)) << "one of them reads something else";
  const LinearTask tasks[] = {task(normed, query_)};
  ASSERT_TRUE(open_.add(tasks));
  EXPECT_FALSE(open_.add(job(Kind::kStoreKv, normed), 1)) << "the norm's result is not there yet";
  EXPECT_EQ(launched(), "joint_kernel ");

  ASSERT_TRUE(open_.add_norm(x_, weight, normed));
  EXPECT_EQ(launched(), "rms_norm_kernel ");
  // So many blocks would each make the norm again.
  ASSERT_TRUE(open_.add_norm(x_, weight, normed));
  const LinearTask head[] = {task(normed, matrix(6, 4, 129280))};
  EXPECT_FALSE(open_.add(head));
  EXPECT_EQ(launched(), "rms_norm_kernel ");
  ASSERT_TRUE(open_.add(tasks));
  EXPECT_EQ(launched(), "few_kernel ");
}

}  // namespace
}  // namespace ft::test
