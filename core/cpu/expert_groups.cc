#include "core/check.h"
#include "core/cpu/experts.h"

namespace ft::cpu {

void ExpertGroups::reserve(int64_t expert_count, int64_t pairs) {
  first.reserve(static_cast<size_t>(expert_count + 2));
  row.reserve(static_cast<size_t>(pairs));
  weight.reserve(static_cast<size_t>(pairs));
}

void ExpertGroups::build(const int32_t* ids, const float* weights, int64_t rows, int k,
                         int64_t expert_count) {
  const int64_t pairs = rows * k;
  row.resize(static_cast<size_t>(pairs));
  weight.resize(static_cast<size_t>(pairs));
  // Counting sort: first[e+2] counts expert e, then holds where its next pair goes at first[e+1].
  first.assign(static_cast<size_t>(expert_count + 2), 0);
  for (int64_t i = 0; i < pairs; ++i) {
    FT_CHECK(ids[i] >= 0 && ids[i] < expert_count, ids[i], expert_count);
    ++first[static_cast<size_t>(ids[i]) + 2];
  }
  for (size_t e = 2; e < first.size(); ++e) first[e] += first[e - 1];
  for (int64_t i = 0; i < pairs; ++i) {
    const int32_t pair = first[static_cast<size_t>(ids[i]) + 1]++;
    row[static_cast<size_t>(pair)] = static_cast<int32_t>(i / k);
    weight[static_cast<size_t>(pair)] = weights[i];
  }
  first.pop_back();
}

}  // namespace ft::cpu
