"""What tests share: pictures, archives, rows, servers, fakes. Test modules import from here, never from each other."""
