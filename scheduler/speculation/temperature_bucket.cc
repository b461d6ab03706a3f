#include "scheduler/speculation/temperature_bucket.h"

#include <array>

#include "core/keyed_ranking.h"

namespace ft::scheduler {

int temperature_bucket(double temperature) {
  if (temperature < kGreedyTemperature) return 0;
  return temperature <= 0.5 ? 1 : temperature <= 0.85 ? 2 : 3;
}

std::string_view temperature_bucket_name(int bucket) {
  constexpr std::array<std::string_view, kTemperatureBuckets> kNames = {"0", "0-0.5", "0.5-0.85", "0.85+"};
  return kNames[static_cast<size_t>(bucket)];
}

}  // namespace ft::scheduler
