#include "tests/fuzz/breeding.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "core/check.h"

namespace ft::fuzz {
namespace {

namespace fs = std::filesystem;

std::string mutated(std::string text, const std::vector<std::string>& seeds, std::mt19937& random) {
  for (int edits = 1 + static_cast<int>(random() % 4); edits > 0; --edits) {
    const size_t place = text.empty() ? 0 : random() % text.size();
    switch (random() % 5) {
      case 0:
        text.erase(place, 1 + random() % 4);
        break;
      case 1:
        text.insert(place, 1, static_cast<char>(random()));
        break;
      case 2:
        if (!text.empty()) text[place] = static_cast<char>(random());
        break;
      case 3: {  // a piece of another
        const std::string& other = seeds[random() % seeds.size()];
        const size_t from = random() % other.size();
        text.insert(place, other.substr(from, 1 + random() % 40));
        break;
      }
      default:  // a piece again
        text.insert(place, text.substr(place, 1 + random() % 20));
    }
  }
  return text;
}

}  // namespace

void breed(Target target, const std::vector<std::string>& seeds, int rounds, int tail) {
  std::mt19937 random(5);
  for (int round = 0; round < rounds; ++round) {
    std::string text = mutated(seeds[random() % seeds.size()], seeds, random);
    if (tail > 0) text += '\0';
    for (int i = 0; i < tail; ++i) text += static_cast<char>(random());
    target({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
}

std::vector<std::string> corpus(const std::string& name) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(fs::path(FT_SOURCE) / "tests/fuzz/corpus" / name))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> texts;
  for (const fs::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    texts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    FT_CHECK(!texts.back().empty(), path.string());
  }
  FT_CHECK(!texts.empty(), name);
  return texts;
}

}  // namespace ft::fuzz
