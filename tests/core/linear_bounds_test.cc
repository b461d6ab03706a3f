// Linears read and write nothing behind their operands, which may end where mapped memory does: weights lie in mapped
// files. Here each operand ends right before a page that must not be touched.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "core/check.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/random_data.h"

namespace ft::test {
namespace {

// Bytes that end with a page, behind which any access is a fault.
class BeforeTheEnd {
 public:
  explicit BeforeTheEnd(size_t bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t whole = (bytes + page - 1) / page * page;
    mapped_bytes_ = whole + page;
    mapped_ = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FT_CHECK(mapped_ != MAP_FAILED, mapped_bytes_);
    uint8_t* const end = static_cast<uint8_t*>(mapped_) + whole;
    FT_CHECK(mprotect(end, page, PROT_NONE) == 0, page);
    data_ = end - bytes;
  }
  template <class Value>
  explicit BeforeTheEnd(const std::vector<Value>& values) : BeforeTheEnd(values.size() * sizeof(Value)) {
    if (!values.empty()) std::memcpy(data_, values.data(), values.size() * sizeof(Value));
  }
  ~BeforeTheEnd() { munmap(mapped_, mapped_bytes_); }
  BeforeTheEnd(const BeforeTheEnd&) = delete;
  BeforeTheEnd& operator=(const BeforeTheEnd&) = delete;

  const uint8_t* bytes() const { return data_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }

 private:
  void* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
  uint8_t* data_ = nullptr;
};

std::vector<float> product(Backend& backend, const HostWeight& host, const std::vector<float>& x,
                           int64_t rows) {
  const BeforeTheEnd data(host.data), scale(host.scale), in(x);
  const BeforeTheEnd out(static_cast<size_t>(rows * host.rows) * sizeof(float));
  Weight weight;
  weight.format = host.format;
  weight.data = data.bytes();
  if (!host.scale.empty()) weight.scale = scale.bytes();
  weight.rows = host.rows;
  weight.cols = host.cols;
  backend.linear(Matrix(in.floats(), rows, host.cols), weight, Matrix(out.floats(), rows, host.rows),
                 LinearInput::kQ8, LinearOutput::kF32);
  return {out.floats(), out.floats() + rows * host.rows};
}

// All widths of a last block, in all places of a panel of outputs, for all numbers of rows that stay in registers.
TEST(LinearBounds, NothingBehindAnOperandIsTouched) {
  RandomData random(3);
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kFp8Block, WeightFormat::kFp4Row}) {
    for (const int64_t cols : {32, 64, 96, 160, 480, 1184}) {
      for (const int64_t outputs : {1, 6, 16, 35}) {
        const HostWeight host = random.weight(format, outputs, cols);
        std::vector<float> x = random.values(9 * cols);
        for (float& value : x) value = round_bf16(value);
        for (const Numerics numerics : kBothNumerics) {
          const auto reference = make_reference_backend(numerics);
          const std::vector<float> expected = product(*reference, host, x, 9);
          for (const BackendUnderTest& under : backends_under_test()) {
            const auto backend = under.make(numerics);
            for (const int64_t rows : {1, 2, 3, 5, 8, 9}) {
              SCOPED_TRACE(under.label + " " + numerics_name(numerics));
              const std::vector<float> some(x.begin(), x.begin() + rows * cols);
              const std::vector<float> y = product(*backend, host, some, rows);
              for (size_t i = 0; i < y.size(); ++i)
                ASSERT_NEAR(y[i], expected[i], 1e-3f)
                    << static_cast<int>(format) << " " << cols << "->" << outputs << " rows " << rows;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace ft::test
