#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "support/files.hpp"
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

TEST(ReadFile, GivesAllBytes) {
  const TemporaryFolder folder;
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 1000000}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    put(folder / "f", bytes);
    EXPECT_EQ(read_file(folder / "f"), bytes) << size;
  }
}

TEST(ReadFile, RefusesWhatIsNoFileWithoutWaitingForIt) {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe", link = folder / "link", socket = folder / "socket";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink(pipe, link);
  EXPECT_EQ(user_error([&] { read_file(pipe); }), pipe + ": is a pipe, not a file");
  EXPECT_EQ(user_error([&] { read_file(link); }), link + ": is a pipe, not a file");
  EXPECT_EQ(user_error([] { read_file("/dev/zero"); }), "/dev/zero: is a device, not a file");
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(socket.size(), sizeof address.sun_path);
  socket.copy(address.sun_path, socket.size());
  ASSERT_EQ(::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(user_error([&] { read_file(socket); }), socket + ": is a socket, not a file");
  ::close(descriptor);
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
  // A file that does not tell its size.
  EXPECT_NE(user_error([&] { read_file("/proc/self/status", 4); }).find("larger than 4 bytes"),
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

TEST(WriteFileAtomically, WritesIntoAPipeThatHasAReaderAndWaitsForNone) {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(user_error([&] { write_file_atomically(pipe, "bytes"); }),
            pipe + ": is a pipe without a reader, or a socket");
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_EQ(::fcntl(reader, F_SETFL, 0), 0);
  const std::string bytes(300000, 'x');  // more than a pipe holds
  std::jthread writer([&] { write_file_atomically(pipe, bytes); });
  std::string got;
  char buffer[4096];
  while (got.size() < bytes.size()) {
    const ssize_t count = ::read(reader, buffer, sizeof buffer);
    if (count > 0) got.append(buffer, static_cast<std::size_t>(count));
  }
  EXPECT_EQ(got, bytes);
  ::close(reader);
}

TEST(WriteFileAtomically, NamesThePathAndTheReason) {
  const TemporaryFolder folder;
  const std::string missing = folder / "missing/f", here = folder.path();
  const auto error = [](const std::string& path) {
    return user_error([&] { write_file_atomically(path, ""); });
  };
  EXPECT_EQ(error(missing), missing + ": No such file or directory");
  EXPECT_EQ(error(here), here + ": is a folder, not a file");
  EXPECT_EQ(entries(folder.path()), 0);
}

TEST(AtomicFile, AppearsWithCommitAlone) {
  const TemporaryFolder folder;
  for (const bool commits : {false, true}) {
    AtomicFile file(folder / "f");
    file.write("one ");
    file.write("two");
    EXPECT_FALSE(fs::exists(folder / "f"));
    if (commits) file.commit();
  }
  EXPECT_EQ(contents(folder / "f"), "one two");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(RemoveAbandonedTemporaries, TakesThoseOfTheFileWhoseProcessIsGone) {
  const TemporaryFolder folder;
  const pid_t gone = ::fork();
  if (gone == 0) {  // killed in the middle of a write, as it were
    AtomicFile file(folder / "checkpoint");
    file.write("half");
    ::_exit(0);
  }
  ASSERT_GT(gone, 0);
  ASSERT_EQ(::waitpid(gone, nullptr, 0), gone);
  const std::string number = std::to_string(gone);
  ASSERT_EQ(entries(folder.path()), 1);
  const std::string own = ".checkpoint." + std::to_string(::getpid()) + "-7.tmp";
  put(folder / own, "of a process before this one, in a container");
  const std::vector<std::string> others = {
      "checkpoint",
      ".checkpoint." + std::to_string(::getppid()) + "-0.tmp",  // it lives
      ".checkpoint.1-0.tmp",                                    // so does this one
      ".other." + number + "-0.tmp",
      ".checkpoint." + number + "-0.tmp.png",
      ".checkpoint." + number + "-0",
      ".checkpoint." + number + "-.tmp",
      ".checkpoint." + number + ".tmp",
      ".checkpoint.-" + number + "-0.tmp",
      ".checkpoint.0-0.tmp",
      ".checkpoint." + number + "x-0.tmp",
      ".checkpoint.99999999999999999999-0.tmp",
      ".checkpoint..tmp",
      "checkpoint." + number + "-0.tmp"};
  for (const std::string& name : others) put(folder / name, name);
  remove_abandoned_temporaries(folder / "checkpoint");
  EXPECT_EQ(entries(folder.path()), std::ssize(others));
  for (const std::string& name : others) EXPECT_TRUE(fs::exists(folder / name)) << name;
}

TEST(RemoveAbandonedTemporaries, FollowsNoLinkAndMindsNoMissingFolder) {
  const TemporaryFolder folder;
  put(folder / "precious", "years of work");
  fs::create_symlink(folder / "precious", folder / (".f." + std::to_string(::getpid()) + "-0.tmp"));
  remove_abandoned_temporaries(folder / "f");
  EXPECT_EQ(contents(folder / "precious"), "years of work");
  remove_abandoned_temporaries(folder / "none/f");
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

TEST(CreateFolder, MakesParentsAndRefusesAFile) {
  const TemporaryFolder folder;
  for (int twice = 0; twice < 2; ++twice) create_folder(folder / "a/b/c");
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  put(folder / "f", "");
  for (const char* path : {"f", "f/below"})
    EXPECT_NE(user_error([&] { create_folder(folder / path); }), "(no error)");
}

std::string error_of(const std::vector<Output>& outputs, const std::vector<fs::path>& inputs) {
  return user_error([&] { check_outputs(outputs, inputs); });
}

TEST(CheckOutputs, AnOutputIsNoInputUnderAnyName) {
  const TemporaryFolder folder;
  const std::string input = folder / "in.npy";
  write_file_atomically(input, "x");
  fs::create_directory(folder / "sub");
  fs::create_symlink(input, folder / "sub/link");
  fs::create_hard_link(input, folder / "sub/hard");
  fs::create_directory_symlink(folder.path(), folder / "sub/again");
  for (const char* name : {"in.npy", "./in.npy", "sub/../in.npy", "sub/link", "sub/hard",
                           "sub/again/in.npy", "sub/again/sub/link"}) {
    EXPECT_EQ(error_of({{"--grad G", folder / name}}, {folder / "other.npy", input}),
              "--grad G would overwrite " + input + ", which is an input or a file of the run")
        << name;
  }
  EXPECT_EQ(error_of({{"--grad G", folder / "new.npy"}}, {input}), "(no error)");
  EXPECT_EQ(error_of({{"--grad G", folder / "sub/in.npy"}}, {input}), "(no error)");
}

TEST(CheckOutputs, TwoOutputsAreNotOneFile) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "sub");
  fs::create_directory_symlink(folder.path(), folder / "sub/again");
  write_file_atomically(folder / "old.npy", "x");
  fs::create_symlink(folder / "old.npy", folder / "link.npy");
  const auto both = [&](const std::string& a, const std::string& b) {
    return error_of({{"--grad", folder / a}, {"--match", folder / b}}, {});
  };
  for (const auto& [a, b] : {std::pair{"x", "x"},
                             {"x", "./x"},
                             {"x", "sub/../x"},
                             {"x", "sub/again/x"},
                             {"old.npy", "link.npy"},
                             {"none/x", "none/./x"}}) {
    EXPECT_EQ(both(a, b),
              "--grad and --match would be written to one file, " + (folder / b).string());
  }
  EXPECT_EQ(both("x", "y"), "(no error)");
  EXPECT_EQ(both("x", "sub/x"), "(no error)");
  EXPECT_EQ(error_of({{"--grad", "new-x"}, {"--match", "./new-x"}}, {}),
            "--grad and --match would be written to one file, ./new-x");
}

TEST(CheckOutputs, DevicesMayBeShared) {
  EXPECT_EQ(error_of({{"--grad", "/dev/null"}, {"--match", "/dev/null"}}, {"/dev/null"}),
            "(no error)");
}

}  // namespace
}  // namespace osc::program
