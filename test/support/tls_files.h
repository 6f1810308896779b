// An authority with certificates for 127.0.0.1, made by Debian's openssl. For tests only.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace cygnet::test {

class TlsFiles {
 public:
  // `folder` exists.
  explicit TlsFiles(std::string folder) : folder_(std::move(folder)) {
    Run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca "
        "-keyout ca.key -out ca.pem");
    std::ofstream(folder_ + "/names") << "subjectAltName=IP:127.0.0.1,DNS:localhost\n"
                                         "extendedKeyUsage=serverAuth,clientAuth\n";
    for (const char* name : {"server", "client"}) {
      const std::string who = name;
      Run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + who +
          " -keyout " + who + ".key -out " + who + ".csr");
      Run("openssl x509 -req -in " + who +
          ".csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 " + "-extfile names -out " + who +
          ".pem");
    }
  }
  // "ca.pem", "server.pem", "server.key", "client.pem", "client.key"
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  void Run(const std::string& command) const {
    const std::string line = "cd " + folder_ + " && " + command + " >/dev/null 2>&1";
    EXPECT_EQ(std::system(line.c_str()), 0) << command;
  }

  const std::string folder_;
};

}  // namespace cygnet::test
