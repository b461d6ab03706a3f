// Temperatures whose drafts are accepted alike.
#pragma once

#include <string_view>

namespace ft::scheduler {

// T = 0 compares without noise, and is a bucket of its own.
inline constexpr int kTemperatureBuckets = 4;
int temperature_bucket(double temperature);
std::string_view temperature_bucket_name(int bucket);  // "0", "0-0.5", "0.5-0.85", "0.85+"

}  // namespace ft::scheduler
