"""Code that tests share: pictures, archives, rows, servers, fakes. Test modules import only from here."""
