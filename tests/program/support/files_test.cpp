#include "support/files.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void put(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::ptrdiff_t entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

// What a full disk looks like to a process: write() takes some bytes and then fails.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    previous_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &previous_);
    const rlimit limit{bytes, previous_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &previous_);
    std::signal(SIGXFSZ, previous_handler_);
  }

 private:
  rlimit previous_{};
  void (*previous_handler_)(int) = nullptr;
};

TEST(ReadFile, GivesAllBytes) {
  const TemporaryFolder folder;
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 1000000}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    put(folder / "f", bytes);
    EXPECT_EQ(read_file(folder / "f"), bytes) << size;
  }
}

TEST(ReadFile, ReadsAPipeToItsEnd) {
  const TemporaryFolder folder;
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string bytes(300000, 'x');
  std::jthread writer([&] { put(pipe, bytes); });
  EXPECT_EQ(read_file(pipe), bytes);
}

TEST(ReadFile, NamesThePathAndTheReason) {
  const TemporaryFolder folder;
  const std::string missing = folder / "missing";
  EXPECT_EQ(user_error([&] { read_file(missing); }), missing + ": No such file or directory");
  EXPECT_EQ(user_error([&] { read_file(folder.path()); }),
            folder.path().string() + ": is a folder, not a file");
}

TEST(ReadFile, StopsAtTheLimit) {
  const TemporaryFolder folder;
  put(folder / "f", "12345");
  EXPECT_EQ(read_file(folder / "f", 5), "12345");
  EXPECT_NE(user_error([&] { read_file(folder / "f", 4); }).find("larger than 4 bytes"),
            std::string::npos);
  EXPECT_NE(user_error([&] { read_file("/dev/zero", 100000); }).find("larger than 100000 bytes"),
            std::string::npos);
}

TEST(WriteFileAtomically, WritesAndReplaces) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "first");
  EXPECT_EQ(contents(folder / "f"), "first");
  write_file_atomically(folder / "f", std::string_view("\0\n2", 3));
  EXPECT_EQ(contents(folder / "f"), std::string("\0\n2", 3));
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(WriteFileAtomically, FollowsALinkAndKeepsIt) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "elsewhere");
  put(folder / "elsewhere/f", "old");
  fs::create_symlink(folder / "elsewhere/f", folder / "link");
  write_file_atomically(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(contents(folder / "elsewhere/f"), "new");
}

TEST(WriteFileAtomically, AFullDiskLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  const std::string path = folder / "f";
  put(path, "old");
  std::string message;
  {
    const FileSizeLimit limit(10000);
    message = user_error([&] { write_file_atomically(path, std::string(100000, 'x')); });
  }
  EXPECT_EQ(message, path + ": File too large");
  EXPECT_EQ(contents(path), "old");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(WriteFileAtomically, WritesToADeviceWithoutReplacingIt) {
  write_file_atomically("/dev/null", "bytes");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_EQ(user_error([] { write_file_atomically("/dev/full", "bytes"); }),
            "/dev/full: No space left on device");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST(WriteFileAtomically, NamesThePathAndTheReason) {
  const TemporaryFolder folder;
  const std::string missing = folder / "missing/f";
  EXPECT_EQ(user_error([&] { write_file_atomically(missing, ""); }),
            missing + ": No such file or directory");
  EXPECT_EQ(user_error([&] { write_file_atomically(folder.path(), ""); }),
            folder.path().string() + ": is a folder, not a file");
  EXPECT_EQ(entries(folder.path()), 0);
}

TEST(AtomicFile, WithoutCommitNothingAppears) {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "f");
    file.write("half");
    EXPECT_FALSE(fs::exists(folder / "f"));
  }
  EXPECT_EQ(entries(folder.path()), 0);
}

TEST(AtomicFile, JoinsWhatIsWritten) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "f");
  file.write("one ");
  file.write("two");
  file.commit();
  EXPECT_EQ(contents(folder / "f"), "one two");
}

TEST(WriteNewFile, WritesButNeverReplaces) {
  const TemporaryFolder folder;
  const std::string path = folder / "f";
  write_new_file(path, "bytes");
  EXPECT_EQ(contents(path), "bytes");
  EXPECT_EQ(user_error([&] { write_new_file(path, "others"); }), path + ": File exists");
  EXPECT_EQ(contents(path), "bytes");
}

TEST(WriteNewFile, AFullDiskLeavesNothing) {
  const TemporaryFolder folder;
  std::string message;
  {
    const FileSizeLimit limit(10000);
    message = user_error([&] { write_new_file(folder / "f", std::string(100000, 'x')); });
  }
  EXPECT_NE(message.find("File too large"), std::string::npos);
  EXPECT_EQ(entries(folder.path()), 0);
}

TEST(CreateFolder, MakesParentsAndAcceptsWhatExists) {
  const TemporaryFolder folder;
  create_folder(folder / "a/b/c");
  create_folder(folder / "a/b/c");
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
}

TEST(CreateFolder, RefusesAFile) {
  const TemporaryFolder folder;
  put(folder / "f", "");
  EXPECT_NE(user_error([&] { create_folder(folder / "f"); }), "(no error)");
  EXPECT_NE(user_error([&] { create_folder(folder / "f/below"); }), "(no error)");
}

}  // namespace
}  // namespace osc::program
