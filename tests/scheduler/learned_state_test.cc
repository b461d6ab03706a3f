// What was learned comes back as it was, or not at all.
#include "scheduler/speculation/learned_state.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <random>
#include <thread>

#include "tests/support/temp_dir.h"

namespace ft::scheduler {
namespace {

namespace fs = std::filesystem;

struct Learned {
  CostModel costs{64, 8, 6.0};
  AcceptanceModel acceptance;

  void learn(uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 300; ++i) {
      const auto rows = static_cast<int32_t>(1 + random() % 60);
      const double experts = 3.0 * rows + static_cast<double>(random() % 10);
      costs.observe_verify(rows, experts, 1e-3 + 1e-5 * rows + 3e-6 * experts);
      costs.observe_draft(static_cast<int32_t>(1 + random() % 8), 0,
                          1e-4 * static_cast<double>(1 + random() % 5));
      if (i == 200) costs.observe_draft(2, 30, 5e-3);
      draft::DraftNode node;
      node.token = 1;
      node.score = std::normal_distribution<float>()(random);
      node.path_probability = 0.4f;
      const float predicted[] = {0.4f};
      const int32_t target[] = {random() % 3 == 0 ? 1 : 2};
      acceptance.observe(0.7, std::span(&node, 1), predicted, {}, target);
    }
  }

  // All that is to be kept, in numbers.
  std::vector<double> facts() {
    std::vector<double> all = acceptance.save();
    for (double x = 1.0; x <= 64.0; x += 0.5) all.push_back(costs.verify_seconds(x, 2.0 * x));
    for (double x = 1.0; x <= 8.0; x += 0.5) all.push_back(costs.draft_seconds(x));
    all.push_back(costs.seconds_per_expert());
    all.push_back(costs.seconds_per_catch_up_row());
    return all;
  }
};

const LearnedKey kKey{"a machine", "a model", "a drafter", "coupled"};

class LearnedState : public ::testing::Test {
 protected:
  LearnedState() { learned_.learn(1); }

  bool load(Learned& into, const LearnedKey& key = kKey) {
    const Result<void> loaded = load_learned(dir_.path(), key, into.costs, into.acceptance);
    why_ = loaded ? "" : loaded.error().message;
    code_ = loaded ? ErrorCode::kInternal : loaded.error().code;
    return loaded.has_value();
  }
  // Loading fails, says why, and changes nothing.
  void expect_refused(const LearnedKey& key = kKey, ErrorCode code = ErrorCode::kNotFound) {
    Learned other;
    other.learn(2);
    const std::vector<double> before = other.facts();
    EXPECT_FALSE(load(other, key));
    EXPECT_NE(why_.find(key.file_name()), std::string::npos) << why_;
    EXPECT_EQ(code_, code) << why_;
    EXPECT_EQ(other.facts(), before);
  }
  std::string path(const LearnedKey& key = kKey) const { return dir_.file(key.file_name()); }

  TempDir dir_;
  Learned learned_;
  std::string why_;
  ErrorCode code_ = ErrorCode::kInternal;
};

TEST_F(LearnedState, ComesBackAsItWas) {
  expect_refused();  // nothing is there yet
  ASSERT_TRUE(save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance));
  Learned again;
  ASSERT_TRUE(load(again)) << why_;
  const std::vector<double> before = learned_.facts();
  const std::vector<double> after = again.facts();
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) EXPECT_DOUBLE_EQ(after[i], before[i]) << i;
  EXPECT_GT(again.costs.seconds_per_expert(), 0.0);
  EXPECT_GT(again.costs.seconds_per_catch_up_row(), 0.0);
}

TEST_F(LearnedState, MakesItsFolder) {
  const std::string folder = dir_.file("a/b");
  ASSERT_TRUE(save_learned(folder, kKey, learned_.costs, learned_.acceptance));
  Learned again;
  EXPECT_TRUE(load_learned(folder, kKey, again.costs, again.acceptance));
}

TEST_F(LearnedState, ALaterOneReplacesAnEarlierOne) {
  ASSERT_TRUE(save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance));
  learned_.learn(3);
  ASSERT_TRUE(save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance));
  Learned again;
  ASSERT_TRUE(load(again));
  EXPECT_EQ(again.acceptance.save(), learned_.acceptance.save());
}

TEST_F(LearnedState, BelongsToOneKey) {
  ASSERT_TRUE(save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance));
  std::vector<LearnedKey> others(4, kKey);
  others[0].machine += "!";
  others[1].model += "!";
  others[2].drafter += "!";
  others[3].rule = "rejection";
  for (const LearnedKey& other : others) {
    EXPECT_NE(other.file_name(), kKey.file_name());
    expect_refused(other);
    // Even where the name says that it is theirs.
    fs::copy_file(path(), path(other));
    expect_refused(other);
  }
}

TEST_F(LearnedState, ABrokenFileIsAsGoodAsNone) {
  ASSERT_TRUE(save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance));
  const std::string whole = file_bytes(path());
  const auto expect_broken = [&](const std::string& content) {
    dir_.write(kKey.file_name(), content);
    expect_refused(kKey, ErrorCode::kInvalidFile);
  };
  for (size_t length : {size_t{0}, size_t{1}, whole.size() / 3, whole.size() / 2, whole.size() - 3})
    expect_broken(whole.substr(0, length));
  expect_broken("[]");
  const auto with = [&](const std::string& name, const std::string& value) {
    std::string content = whole;
    const size_t at = content.find("\"" + name + "\":");
    EXPECT_NE(at, std::string::npos) << name;
    // Keys come in alphabetical order, so a second one of the same name at the end wins.
    return content.substr(0, content.rfind('}')) + ",\"" + name + "\":" + value + "}";
  };
  for (const std::string& other : {std::string("{}"), with("version", "0"), with("version", "\"1\"")}) {
    dir_.write(kKey.file_name(), other);
    expect_refused();
  }
  expect_broken(with("verify", "{}"));
  expect_broken(with("verify", "[[1, 2, 3]]"));
  expect_broken(with("verify", "[[1, 2, 3, \"4\"]]"));
  expect_broken(with("verify", "[[1, -2, 3, 4]]"));
  expect_broken(with("draft", "7"));
  expect_broken(with("seconds_per_expert", "null"));
  expect_broken(with("seconds_per_expert", "-1"));
  expect_broken(with("seconds_per_catch_up_row", "[]"));
  expect_broken(with("calibration", "[]"));
  expect_broken(with("calibration", "[1, 2, 3]"));
  expect_broken(with("calibration", "[null]"));
  dir_.write(kKey.file_name(), with("verify", "[[1, 2, 3, 4]]"));
  Learned again;
  EXPECT_TRUE(load(again)) << why_;  // the edit itself breaks nothing
}

TEST_F(LearnedState, IsWrittenWholeOrNotAtAll) {
  ASSERT_TRUE(save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance));
  const std::string before = file_bytes(path());
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), {}), 1);
  // A write that cannot be finished: the file may have 100 bytes.
  learned_.learn(4);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{100, old.rlim_max};
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const Result<void> saved = save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance);
  setrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, handler);
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().message.find(path() + ": cannot be written: File too large"), std::string::npos)
      << saved.error().message;
  EXPECT_EQ(file_bytes(path()), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), {}), 1);
  // What is left of a write that was interrupted is in nobody's way.
  dir_.write(kKey.file_name() + ".partial", "half a f");
  EXPECT_TRUE(save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance));
  // A folder that cannot be one.
  const std::string file = dir_.write("file", "");
  EXPECT_FALSE(save_learned(file, kKey, learned_.costs, learned_.acceptance));
}

TEST_F(LearnedState, SurvivesWritersBesideEachOther) {
  std::vector<std::thread> writers;
  std::atomic<int> saved{0};
  for (uint64_t seed = 0; seed < 4; ++seed)
    writers.emplace_back([&, seed] {
      Learned mine;
      mine.learn(seed);
      for (int i = 0; i < 50; ++i)
        saved += save_learned(dir_.path(), kKey, mine.costs, mine.acceptance).has_value() ? 1 : 0;
    });
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(saved, 200);
  Learned again;
  EXPECT_TRUE(load(again)) << why_;
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), {}), 1);
}

TEST_F(LearnedState, NamesWhatIsNoFile) {
  const auto save = [&] { return save_learned(dir_.path(), kKey, learned_.costs, learned_.acceptance); };
  fs::create_directory(path());
  expect_refused(kKey, ErrorCode::kInvalidFile);
  EXPECT_NE(why_.find("is a folder"), std::string::npos) << why_;
  const Result<void> over_folder = save();
  ASSERT_FALSE(over_folder);
  EXPECT_NE(over_folder.error().message.find(path()), std::string::npos) << over_folder.error().message;
  fs::remove(path());
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  expect_refused(kKey, ErrorCode::kInvalidFile);
  EXPECT_NE(why_.find("is a FIFO"), std::string::npos) << why_;
  EXPECT_TRUE(save());  // replaces it
  fs::remove(path());
  fs::create_symlink("/dev/zero", path());
  expect_refused(kKey, ErrorCode::kInvalidFile);
  EXPECT_NE(why_.find("is a device"), std::string::npos) << why_;
  fs::remove(path());
  dir_.write(kKey.file_name(), "");
  fs::resize_file(path(), uintmax_t{1} << 36);
  expect_refused(kKey, ErrorCode::kInvalidFile);
  EXPECT_NE(why_.find("at most"), std::string::npos) << why_;
}

}  // namespace
}  // namespace ft::scheduler
