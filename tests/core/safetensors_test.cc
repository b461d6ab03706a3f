#include "core/safetensors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>

#include "tests/support/temp_dir.h"

namespace ft {
namespace {

// A file of that header text and data, with the header length as given or as it is.
std::string raw_file(const std::string& header, const std::string& data, int64_t length = -1) {
  const uint64_t stated = length < 0 ? header.size() : static_cast<uint64_t>(length);
  std::string bytes(sizeof(stated), '\0');
  std::memcpy(bytes.data(), &stated, sizeof(stated));
  return bytes + header + data;
}

void expect_error(const Error& error, ErrorCode code, const std::vector<std::string>& fragments) {
  EXPECT_EQ(error.code, code) << error.message;
  for (const std::string& fragment : fragments) {
    EXPECT_NE(error.message.find(fragment), std::string::npos)
        << "no '" << fragment << "' in: " << error.message;
  }
}

TEST(SafetensorsFile, FindsTensorsWithTheirShapeAndData) {
  TempDir dir;
  const float values[] = {1.0f, -2.0f, 3.5f, 0.0f, 5.0f, 6.0f};
  std::string data(reinterpret_cast<const char*>(values), sizeof(values));
  data += "\x7f";
  const auto file = SafetensorsFile::open(dir.write(
      "a.safetensors", raw_file(R"({"__metadata__":{"format":"pt"},)"
                                R"("w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                                R"("empty":{"dtype":"BF16","shape":[0,7],"data_offsets":[24,24]},)"
                                R"("scalar":{"dtype":"F8_E4M3","shape":[],"data_offsets":[24,25]}}   )",
                                data)));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->tensors().size(), 3u);
  const StoredTensor* w = (*file)->find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->dtype, DType::kF32);
  EXPECT_EQ(w->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(w->size(), 6);
  EXPECT_EQ(w->file, file->get());
  EXPECT_EQ(std::memcmp(w->data, values, sizeof(values)), 0);
  EXPECT_EQ((*file)->find("empty")->bytes, 0);
  EXPECT_EQ((*file)->find("scalar")->size(), 1);
  EXPECT_EQ(static_cast<int>(*(*file)->find("scalar")->data), 0x7f);
  EXPECT_EQ((*file)->find("absent"), nullptr);
  EXPECT_EQ((*file)->find("__metadata__"), nullptr);
}

TEST(SafetensorsFile, ReadsEveryGoldenFile) {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(FT_TEST_DATA "/goldens")) {
    if (entry.path().extension() != ".safetensors") continue;
    const auto file = SafetensorsFile::open(entry.path().string());
    EXPECT_TRUE(file) << file.error().message;
    ++files;
  }
  EXPECT_EQ(files, 8);
}

struct Corruption {
  const char* what;
  std::string bytes;
  std::vector<std::string> expected;  // parts of the message
};

std::string one(const std::string& entry) {
  return "{\"t\":" + entry + "}";
}

TEST(SafetensorsFile, CorruptFilesAreRefusedByName) {
  const std::string good = R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},)"
                           R"("b":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})";
  const std::string data8(8, 'x');
  const Corruption cases[] = {
      {"empty file", "", {"0 bytes, too short"}},
      {"LFS pointer",
       "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 5274934544\n",
       {"is a Git LFS pointer", "git lfs pull"}},
      {"header of 2 GiB", raw_file(good, data8, int64_t{2} << 30), {"over the limit of 100000000"}},
      {"half a length", "abcd", {"4 bytes, too short"}},
      {"length beyond the file", raw_file(good, data8, 5000), {"truncated", "5008"}},
      {"length over the limit", raw_file(good, data8, 100'000'001), {"over the limit of 100000000"}},
      {"length of all ones", std::string(8, '\xff') + good, {"over the limit"}},
      {"truncated data",
       raw_file(good, "xxxxxx"),
       {"truncated: tensor b ends at data byte 8, the file has 6"}},
      {"truncated header", raw_file(good.substr(0, 40), ""), {"not valid JSON"}},
      {"data beyond the tensors", raw_file(good, data8 + "y"), {"cover 8 data bytes, the file has 9"}},
      {"no tensors but data", raw_file("{}", "y"), {"cover 0 data bytes, the file has 1"}},
      {"header is a list", raw_file("[]", ""), {"expected a JSON object"}},
      {"header of length 0", raw_file("", ""), {"not valid JSON"}},
      {"overlap",
       raw_file(R"({"a":{"dtype":"I8","shape":[5],"data_offsets":[0,5]},)"
                R"("b":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})",
                data8),
       {"tensors a and b overlap"}},
      {"same range twice",
       raw_file(R"({"a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]},)"
                R"("b":{"dtype":"I8","shape":[8],"data_offsets":[0,8]}})",
                data8),
       {"tensors a and b overlap"}},
      {"hole",
       raw_file(R"({"a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},)"
                R"("b":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})",
                data8),
       {"data bytes 3 to 4, before tensor b, belong to no tensor"}},
      {"duplicate name",
       raw_file(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},)"
                R"("a":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}})",
                data8),
       {"\"a\" appears twice"}},
      {"metadata is a number",
       raw_file(R"({"__metadata__":5})", ""),
       {"__metadata__ is 5, expected an object"}},
      {"entry is a number", raw_file(one("5"), ""), {"tensor t is 5, expected an object"}},
      {"no dtype", raw_file(one(R"({"shape":[8],"data_offsets":[0,8]})"), data8), {"tensor t has no dtype"}},
      {"no shape", raw_file(one(R"({"dtype":"I8","data_offsets":[0,8]})"), data8), {"tensor t has no shape"}},
      {"no offsets", raw_file(one(R"({"dtype":"I8","shape":[8]})"), data8), {"tensor t has no data_offsets"}},
      {"unknown dtype",
       raw_file(one(R"({"dtype":"F3","shape":[8],"data_offsets":[0,8]})"), data8),
       {"tensor t has dtype \"F3\", expected F32"}},
      {"dtype is a number",
       raw_file(one(R"({"dtype":7,"shape":[8],"data_offsets":[0,8]})"), data8),
       {"tensor t has dtype 7"}},
      {"negative size",
       raw_file(one(R"({"dtype":"I8","shape":[-8],"data_offsets":[0,8]})"), data8),
       {"tensor t has shape [-8]"}},
      {"fractional size",
       raw_file(one(R"({"dtype":"I8","shape":[8.0],"data_offsets":[0,8]})"), data8),
       {"tensor t has shape [8.0]"}},
      {"shape is a number",
       raw_file(one(R"({"dtype":"I8","shape":8,"data_offsets":[0,8]})"), data8),
       {"tensor t has shape 8"}},
      {"too many dimensions",
       raw_file(one(R"({"dtype":"I8","shape":[8,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,8]})"),
                data8),
       {"tensor t has shape", "at most 16"}},
      {"size overflows",
       raw_file(one(R"({"dtype":"I8","shape":[4294967296,4294967296],"data_offsets":[0,8]})"), data8),
       {"tensor t", "overflows"}},
      {"size overflows by the element",
       raw_file(one(R"({"dtype":"I64","shape":[2305843009213693952],"data_offsets":[0,8]})"), data8),
       {"tensor t", "overflows"}},
      {"size beyond 63 bits",
       raw_file(one(R"({"dtype":"I8","shape":[18446744073709551615],"data_offsets":[0,8]})"), data8),
       {"tensor t has shape"}},
      {"size beyond 64 bits",
       raw_file(one(R"({"dtype":"I8","shape":[99999999999999999999999],"data_offsets":[0,8]})"), data8),
       {"tensor t has shape"}},
      {"range against the shape",
       raw_file(one(R"({"dtype":"F32","shape":[4],"data_offsets":[0,8]})"), data8),
       {"tensor t has data_offsets of 8 bytes, but shape [4] of F32 takes 16"}},
      {"range backwards",
       raw_file(one(R"({"dtype":"I8","shape":[8],"data_offsets":[8,0]})"), data8),
       {"tensor t has data_offsets [8,0]"}},
      {"negative offset",
       raw_file(one(R"({"dtype":"I8","shape":[8],"data_offsets":[-8,0]})"), data8),
       {"tensor t has data_offsets [-8,0]"}},
      {"three offsets",
       raw_file(one(R"({"dtype":"I8","shape":[8],"data_offsets":[0,8,8]})"), data8),
       {"tensor t has data_offsets [0,8,8]"}},
      {"offset out of the file",
       raw_file(one(R"({"dtype":"I8","shape":[8],"data_offsets":[9223372036854775799,9223372036854775807]})"),
                data8),
       {"tensor t ends at data byte 9223372036854775807, the file has 8"}},
      {"empty name",
       raw_file(R"({"":{"dtype":"I8","shape":[8],"data_offsets":[0,8]}})", data8),
       {"name has 0 bytes"}},
      {"endless name",
       raw_file("{\"" + std::string(2000, 'n') + R"(":{"dtype":"I8","shape":[8],"data_offsets":[0,8]}})",
                data8),
       {"name has 2000 bytes"}},
  };
  TempDir dir;
  for (const Corruption& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string path = dir.write("x.safetensors", c.bytes);
    const auto file = SafetensorsFile::open(path);
    ASSERT_FALSE(file) << "accepted";
    expect_error(file.error(), ErrorCode::kInvalidFile, c.expected);
    expect_error(file.error(), ErrorCode::kInvalidFile, {path});
    EXPECT_LT(file.error().message.size(), 500u);
  }
  // The base of the table is itself sound.
  EXPECT_TRUE(SafetensorsFile::open(dir.write("x.safetensors", raw_file(good, data8))));
}

TEST(SafetensorsFile, EveryTruncationOfAFileIsRefused) {
  TempDir dir;
  const std::string whole = raw_file(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},)"
                                     R"("b":{"dtype":"I32","shape":[1],"data_offsets":[4,8]}})",
                                     "01234567");
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(SafetensorsFile::open(dir.write("x.safetensors", whole.substr(0, length)))) << length;
  }
}

// Whatever a byte of a file becomes, the file is refused, or what it now says is true of the bytes that are
// there.
TEST(SafetensorsFile, NoChangedByteLeadsOutsideTheFile) {
  TempDir dir;
  const std::string whole = raw_file(R"({"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},)"
                                     R"("b":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}})",
                                     "0123456789ab");
  int refused = 0;
  for (size_t at = 0; at < whole.size() - 12; ++at) {
    for (const char value : {'\0', '\xff', '0', '9', '-', '"', '{', '}', '[', ',', ' '}) {
      if (whole[at] == value) continue;
      std::string changed = whole;
      changed[at] = value;
      const auto file = SafetensorsFile::open(dir.write("x.safetensors", changed));
      if (!file) {
        ++refused;
        continue;
      }
      int64_t covered = 0;
      for (const auto& [name, tensor] : (*file)->tensors()) {
        int64_t size = 1;
        for (int64_t extent : tensor.shape) size *= extent;
        EXPECT_EQ(tensor.bytes, size * byte_size(tensor.dtype)) << changed;
        covered += tensor.bytes;
        const std::string data(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.bytes));
        EXPECT_NE(std::string("0123456789ab").find(data), std::string::npos) << changed;
      }
      EXPECT_EQ(covered, 12) << changed;
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(SafetensorsFile, ThingsThatAreNoFilesAreRefused) {
  TempDir dir;
  const auto absent = SafetensorsFile::open(dir.file("absent.safetensors"));
  ASSERT_FALSE(absent);
  expect_error(absent.error(), ErrorCode::kNotFound, {"absent.safetensors"});
  const auto directory = SafetensorsFile::open(dir.path());
  ASSERT_FALSE(directory);
  expect_error(directory.error(), ErrorCode::kInvalidFile,
               {dir.path(), "is a folder, expected a regular file"});
  ASSERT_EQ(mkfifo(dir.file("pipe").c_str(), 0600), 0);
  const auto pipe = SafetensorsFile::open(dir.file("pipe"));  // must not wait for a writer
  ASSERT_FALSE(pipe);
  expect_error(pipe.error(), ErrorCode::kInvalidFile,
               {"pipe", "is a FIFO (a pipe), expected a regular file"});
  std::filesystem::create_symlink("loop", dir.file("loop"));
  const auto loop = SafetensorsFile::open(dir.file("loop"));
  ASSERT_FALSE(loop);
  expect_error(loop.error(), ErrorCode::kInvalidFile, {"loop", "symbolic links"});
}

std::string tensor_file(const std::vector<std::string>& names) {
  std::string header;
  for (size_t i = 0; i < names.size(); ++i) {
    header += fmt::format("{}\"{}\":{{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[{},{}]}}",
                          i == 0 ? "{" : ",", names[i], i, i + 1);
  }
  return raw_file(header + "}", std::string(names.size(), 'd'));
}

TEST(SafetensorsIndex, OpensShardsOfAnIndex) {
  const auto index = SafetensorsIndex::open(FT_TEST_DATA "/goldens/tiny-v4-r128");
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ((*index)->tensors().size(), 245u - 2u);  // without the two __metadata__ entries
  const StoredTensor* embed = (*index)->find("embed.weight");
  const StoredTensor* head = (*index)->find("head.weight");
  ASSERT_NE(embed, nullptr);
  ASSERT_NE(head, nullptr);
  EXPECT_NE(embed->file, head->file);
  EXPECT_EQ((*index)->find("absent"), nullptr);
  EXPECT_EQ((*index)->total_bytes(), 8137184);  // metadata.total_size of the index
}

TEST(SafetensorsIndex, OpensASingleFile) {
  const auto index = SafetensorsIndex::open(FT_TEST_DATA "/goldens/tiny-v4");
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_TRUE((*index)->path().ends_with("tiny-v4/model.safetensors"));
  EXPECT_NE((*index)->find("embed.weight"), nullptr);
}

TEST(SafetensorsIndex, FollowsLinkedShards) {  // how the Hugging Face cache stores them
  TempDir dir;
  dir.write("blob", tensor_file({"a", "b"}));
  std::filesystem::create_symlink("blob", dir.file("s.safetensors"));
  dir.write("model.safetensors.index.json", R"({"weight_map":{"a":"s.safetensors","b":"s.safetensors"}})");
  const auto index = SafetensorsIndex::open(dir.path());
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ((*index)->tensors().size(), 2u);
}

TEST(SafetensorsIndex, AnIndexThatContradictsItsShardsIsRefused) {
  struct Case {
    const char* what;
    std::string index;
    ErrorCode code;
    std::vector<std::string> expected;
  };
  constexpr auto kBad = ErrorCode::kInvalidFile;
  const Case cases[] = {
      {"no JSON", "{", kBad, {"not valid JSON"}},
      {"no map", "{}", kBad, {"weight_map is absent"}},
      {"map is a list", R"({"weight_map":[]})", kBad, {"weight_map is []"}},
      {"empty map", R"({"weight_map":{}})", ErrorCode::kInvalidFile, {"names no tensors"}},
      {"shard is a number", R"({"weight_map":{"a":1}})", kBad, {"entry a names 1"}},
      {"missing shard",
       R"({"weight_map":{"a":"gone.safetensors"}})",
       ErrorCode::kNotFound,
       {"gone.safetensors"}},
      {"shard outside",
       R"({"weight_map":{"a":"../one.safetensors"}})",
       kBad,
       {"entry a names \"../one.safetensors\""}},
      {"absolute shard", R"({"weight_map":{"a":"/etc/one.safetensors"}})", kBad, {"same directory"}},
      {"index names itself",
       R"({"weight_map":{"a":"model.safetensors.index.json"}})",
       kBad,
       {"same directory"}},
      {"zero byte in the name", R"({"weight_map":{"a":"one\u0000.safetensors"}})", kBad, {"same directory"}},
      {"link to itself",
       R"({"weight_map":{"a":"loop.safetensors"}})",
       kBad,
       {"loop.safetensors", "symbolic links"}},
      {"broken shard",
       R"({"weight_map":{"a":"broken.safetensors"}})",
       kBad,
       {"broken.safetensors", "too short"}},
      {"tensor in another shard",
       R"({"weight_map":{"a":"two.safetensors","b":"one.safetensors","c":"two.safetensors"}})",
       kBad,
       {"places tensor a in two.safetensors, which does not hold it"}},
      {"tensor in no shard",
       R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors","z":"one.safetensors"}})",
       kBad,
       {"places tensor z in one.safetensors"}},
      {"tensor twice",
       R"({"weight_map":{"a":"one.safetensors","a":"two.safetensors"}})",
       kBad,
       {"\"a\" appears twice"}},
  };
  TempDir dir;
  dir.write("one.safetensors", tensor_file({"a", "b"}));
  dir.write("two.safetensors", tensor_file({"c"}));
  dir.write("again.safetensors", tensor_file({"b", "c"}));
  dir.write("broken.safetensors", "abc");
  std::filesystem::create_symlink("loop.safetensors", dir.file("loop.safetensors"));
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string path = dir.write("model.safetensors.index.json", c.index);
    const auto index = SafetensorsIndex::open(dir.path());
    ASSERT_FALSE(index) << "accepted";
    expect_error(index.error(), c.code, c.expected);
    expect_error(index.error(), c.code, {path});
  }
  dir.write("model.safetensors.index.json",
            R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"}})");
  EXPECT_TRUE(SafetensorsIndex::open(dir.path()));
}

std::string only_warning(const SafetensorsIndex& index) {
  EXPECT_EQ(index.warnings().size(), 1u);
  return index.warnings().empty() ? "" : index.warnings()[0];
}

TEST(SafetensorsIndex, TheIndexDecidesOverAStrayFile) {
  TempDir dir;
  dir.write("one.safetensors", tensor_file({"a", "b"}));
  const std::string stray = dir.write("model.safetensors", tensor_file({"a", "b", "c"}));
  dir.write("model.safetensors.index.json",
            R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors"}})");
  const auto index = SafetensorsIndex::open(dir.path());
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_TRUE((*index)->find("a")->file->path().ends_with("/one.safetensors"));
  EXPECT_EQ((*index)->find("c"), nullptr);
  const std::string warning = only_warning(**index);
  EXPECT_NE(warning.find(stray + ": is left out"), std::string::npos) << warning;
  // Even where it is broken: nobody reads it.
  dir.write("model.safetensors", "x");
  EXPECT_TRUE(SafetensorsIndex::open(dir.path()));
  // An index may name it, as one shard among others.
  dir.write("model.safetensors", tensor_file({"c"}));
  dir.write("model.safetensors.index.json",
            R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors","c":"model.safetensors"}})");
  const auto named = SafetensorsIndex::open(dir.path());
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_TRUE((*named)->warnings().empty());
  // A broken index is not passed by.
  dir.write("model.safetensors.index.json", "{");
  EXPECT_FALSE(SafetensorsIndex::open(dir.path()));
}

TEST(SafetensorsIndex, TheIndexChoosesBetweenFilesThatHoldATensor) {
  TempDir dir;
  dir.write("base.safetensors", tensor_file({"a", "b"}));
  dir.write("overlay.safetensors", tensor_file({"b", "c"}));
  dir.write("model.safetensors.index.json",
            R"({"weight_map":{"a":"base.safetensors","b":"overlay.safetensors","c":"overlay.safetensors"}})");
  const auto index = SafetensorsIndex::open(dir.path());
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_TRUE((*index)->find("b")->file->path().ends_with("/overlay.safetensors"));
  const std::string warning = only_warning(**index);
  EXPECT_NE(
      warning.find("base.safetensors: 1 of its tensors are left out, 0 because weight_map lacks them and 1 "
                   "because it places them in other files (the first: b)"),
      std::string::npos)
      << warning;
}

TEST(SafetensorsIndex, TensorsThatTheIndexLacksAreLeftOut) {
  TempDir dir;
  dir.write("one.safetensors", tensor_file({"a", "b", "c"}));
  dir.write("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors"}})");
  const auto index = SafetensorsIndex::open(dir.path());
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ((*index)->tensors().size(), 1u);
  const std::string warning = only_warning(**index);
  EXPECT_NE(warning.find("2 of its tensors are left out, 2 because weight_map lacks them"), std::string::npos)
      << warning;
}

TEST(SafetensorsIndex, ADirectoryWithoutWeightsIsNotFound) {
  TempDir dir;
  const auto empty = SafetensorsIndex::open(dir.path());
  ASSERT_FALSE(empty);
  expect_error(empty.error(), ErrorCode::kNotFound, {dir.path(), "model.safetensors.index.json"});
  std::filesystem::create_symlink("gone", dir.file("model.safetensors"));
  const auto dangling = SafetensorsIndex::open(dir.path());
  ASSERT_FALSE(dangling);
  expect_error(dangling.error(), ErrorCode::kNotFound, {"model.safetensors"});
}

TEST(WriteSafetensors, WhatIsWrittenIsReadBack) {
  TempDir dir;
  const int8_t bytes[] = {1, -2, 3};
  const float floats[] = {1.5f, -0.0f};
  const int64_t longs[] = {INT64_MIN, 7};
  const TensorToWrite tensors[] = {
      {"bytes", DType::kI8, {3}, bytes},       {"floats \"quoted\" \n", DType::kF32, {2, 1}, floats},
      {"empty", DType::kF32, {0, 5}, nullptr}, {"longs", DType::kI64, {2}, longs},
      {"scalar", DType::kI32, {}, floats},
  };
  const auto written = write_safetensors(dir.file("out.safetensors"), tensors);
  ASSERT_TRUE(written) << written.error().message;
  const auto file = SafetensorsFile::open(dir.file("out.safetensors"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->tensors().size(), std::size(tensors));
  for (const TensorToWrite& tensor : tensors) {
    const StoredTensor* found = (*file)->find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->dtype, tensor.dtype);
    EXPECT_EQ(found->shape, tensor.shape);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(found->data) % byte_size(tensor.dtype), 0u) << tensor.name;
    if (found->bytes == 0) continue;
    EXPECT_EQ(std::memcmp(found->data, tensor.data, static_cast<size_t>(found->bytes)), 0) << tensor.name;
  }
  int entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir.path())) ++entries;
  EXPECT_EQ(entries, 1) << "a temporary file is left";
}

TEST(WriteSafetensors, NoTensorsIsAValidFile) {
  TempDir dir;
  ASSERT_TRUE(write_safetensors(dir.file("out.safetensors"), {}));
  const auto file = SafetensorsFile::open(dir.file("out.safetensors"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE((*file)->tensors().empty());
}

TEST(WriteSafetensors, ImpossibleTensorsAndPlacesAreRefused) {
  TempDir dir;
  const float value = 0.0f;
  const auto refused = [&](std::vector<TensorToWrite> tensors) {
    const auto written = write_safetensors(dir.file("out.safetensors"), tensors);
    return !written && written.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({{"", DType::kF32, {1}, &value}}));
  EXPECT_TRUE(refused({{"__metadata__", DType::kF32, {1}, &value}}));
  EXPECT_TRUE(refused({{"a", DType::kF32, {1}, &value}, {"a", DType::kF32, {1}, &value}}));
  EXPECT_TRUE(refused({{"a", DType::kF32, {-1}, &value}}));
  EXPECT_TRUE(refused({{"a", DType::kF32, {INT64_MAX}, &value}}));
  EXPECT_FALSE(std::filesystem::exists(dir.file("out.safetensors")));

  const std::vector<TensorToWrite> good = {{"a", DType::kF32, {1}, &value}};
  const auto nowhere = write_safetensors(dir.file("no/such/dir.safetensors"), good);
  ASSERT_FALSE(nowhere);
  expect_error(nowhere.error(), ErrorCode::kInvalidFile, {"no/such/dir.safetensors", "cannot be written"});
}

}  // namespace
}  // namespace ft
