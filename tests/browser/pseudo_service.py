"""`presence` with other catalogues: `python -m tests.browser.pseudo_service FOLDER serve …`."""

import sys
from pathlib import Path

from service.cli import main
from service.web import messages

if __name__ == "__main__":
    messages.FOLDER = Path(sys.argv.pop(1))
    main()
